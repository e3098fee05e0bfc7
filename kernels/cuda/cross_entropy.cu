// forward: a team a line finds m, L and the line's loss, and then all losses are summed. backward: a team a line again.
#include <mica/kernels/cuda/losses.h>
#include <mica/kernels/cuda/softmax_lines.h>

#include <cmath>

namespace mica::kernels {
namespace {

// largest and logs: m and L of each line. Where it is loss that is wanted of single lines, single is null, and otherwise loss is.
template <class T>
struct Forward {
  CrossEntropy<T> call;
  T *largest, *logs;
  double* single;
  T* loss;
};

template <class T>
struct Backward {
  CrossEntropy<T> call;
  const T *largest, *logs;
  const double* total_weight;
  const T* gloss;
  T* gx;
};

template <class Team, class T>
__global__ void __launch_bounds__(Team::most_threads, 1)
    forward_kernel(unsigned lines, unsigned classes, unsigned inner, unsigned width, Forward<T> f) {
  const Team team(width);
  const Line line(team.index, lines, classes, inner);
  const T* x = f.call.x + line.begin;
  const T largest = largest_of(team, line.n, inner, x), log = static_cast<T>(std::log(exp_total(team, line.n, inner, x, largest)));
  double all = 0;
  if (f.call.smoothing != 0) {
    for (unsigned c = team.rank; c < line.n; c += team.size)
      all += weight_of(f.call.weight, c) * static_cast<double>(x[static_cast<i64>(c) * inner] - largest - log);
    all = team.reduce(all, 0.0, Plus{});
  }
  if (team.index >= lines || team.rank != 0) return;
  f.largest[team.index] = largest, f.logs[team.index] = log;
  const i64 t = f.call.target[team.index];
  const double loss = counts(f.call.d, t) ? smoothed_loss(f.call, t, x[t * inner] - largest - log, all) : 0;
  if (f.single) f.single[team.index] = loss;
  else f.loss[team.index] = static_cast<T>(loss);
}

template <class Team, class T>
__global__ void __launch_bounds__(Team::most_threads, 1)
    backward_kernel(unsigned lines, unsigned classes, unsigned inner, unsigned width, Backward<T> b) {
  const Team team(width);
  const Line line(team.index, lines, classes, inner);
  const T *x = b.call.x + line.begin, *weight = b.call.weight;
  const bool weighted = weight && b.call.smoothing != 0;
  double all = classes;  // Σ w[c], where that matters
  if (weighted) {
    all = 0;
    for (unsigned c = team.rank; c < line.n; c += team.size) all += static_cast<double>(weight[c]);
    all = team.reduce(all, 0.0, Plus{});
  }
  if (line.n == 0) return;
  const LineGradient<T> gradient(b.call, team.index, b.total_weight, b.gloss);
  const T largest = b.largest[team.index], log = b.logs[team.index], total = gradient.total(all), share = gradient.share(1);
  for (unsigned c = team.rank; c < line.n; c += team.size) {
    const i64 at = static_cast<i64>(c) * inner;
    const T gy = weighted || c == gradient.target ? gradient.of(c, weight_of(weight, c)) : share;
    b.gx[line.begin + at] = gy - math::exp_nonpositive<true>(x[at] - largest - log) * total;
  }
}

template <class T>
struct ForwardKernel {
  template <class Team> static constexpr auto kernel = forward_kernel<Team, T>;
};
template <class T>
struct BackwardKernel {
  template <class Team> static constexpr auto kernel = backward_kernel<Team, T>;
};

// A loss that forward_kernel has found.
struct Found {
  const double* single;
  MICA_DEVICE double operator()(unsigned line, i64) const { return single[line]; }
};

SoftmaxDims lines_of(const NllDims& d) { return {d.outer, d.classes, d.inner}; }

}  // namespace

template <class T>
void cross_entropy_forward(Cuda& cuda, const CrossEntropy<T>& call, T* kept, double* total_weight, T* loss) {
  const NllDims& d = call.d;
  const i64 lines = d.outer * d.inner;
  const auto forward = [&](double* single) {
    for_each_line<ForwardKernel<T>>(cuda, "cross_entropy_forward", lines_of(d), Forward<T>{call, kept, kept + lines, single, loss});
  };
  if (d.reduction == Reduction::none) return forward(nullptr);
  const auto single = cuda.scratch<double>(lines);
  forward(single.get());
  over_lines(cuda, "cross_entropy_forward", lines, TotalLoss<Found, T>{d, {single.get()}, call.weight, total_weight, loss}, call.target);
}

template <class T>
void cross_entropy_backward(Cuda& cuda, const CrossEntropy<T>& call, const T* kept, const double* total_weight, const T* gloss, T* gx) {
  for_each_line<BackwardKernel<T>>(cuda, "cross_entropy_backward", lines_of(call.d),
                                   Backward<T>{call, kept, kept + call.d.outer * call.d.inner, total_weight, gloss, gx});
}

#define MICA_FLOATING(T)                                                                       \
  template void cross_entropy_forward(Cuda&, const CrossEntropy<T>&, T*, double*, T*);         \
  template void cross_entropy_backward(Cuda&, const CrossEntropy<T>&, const T*, const double*, const T*, T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
