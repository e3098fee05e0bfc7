#include <mica/kernels/cpu/losses.h>
#include <mica/kernels/cpu/softmax_lines.h>

namespace mica::kernels {
namespace {

// single: a loss a line.
template <class T>
struct Forward {
  CrossEntropy<T> call;
  T *largest, *logs;
  double* single;
};

template <class T>
struct Backward {
  CrossEntropy<T> call;
  const T *largest, *logs;
  double all;  // Σ w[c]
  const double* total_weight;
  const T* gloss;
  T* gx;
};

// ---- one contiguous line ----

template <class T>
MICA_INLINE void line_forward(const Forward<T>& f, const LineGroup& g) {
  const CrossEntropy<T>& call = f.call;
  const i64 n = call.d.classes, t = call.target[g.first];
  const T *x = call.x + g.at, *weight = call.weight;
  const T largest = largest_of(n, x), log = log_total(n, x, largest);
  f.largest[g.first] = largest, f.logs[g.first] = log;
  double all = 0;
  if (call.smoothing != 0 && weight)
    all = lane_sum(n, [=](i64 c) MICA_LAMBDA_INLINE { return static_cast<double>(weight[c]) * static_cast<double>(x[c] - largest - log); });
  else if (call.smoothing != 0)
    all = lane_sum(n, [=](i64 c) MICA_LAMBDA_INLINE { return x[c] - largest - log; });
  f.single[g.first] = counts(call.d, t) ? smoothed_loss(call, t, x[t] - largest - log, all) : 0;
}

template <class T>
MICA_INLINE void line_backward(const Backward<T>& b, const LineGroup& g) {
  const CrossEntropy<T>& call = b.call;
  const LineGradient<T> gradient(call, g.first, b.total_weight, b.gloss);
  const T largest = b.largest[g.first], log = b.logs[g.first], total = gradient.total(b.all), share = gradient.share(1);
  const double soft = gradient.soft;
  const i64 n = call.d.classes;
  const T *x = call.x + g.at, *weight = call.weight;
  T* gx = b.gx + g.at;
  const auto pulled = [=](i64 c) MICA_LAMBDA_INLINE { return math::exp_nonpositive(x[c] - largest - log) * total; };
  if (weight && gradient.smoothed)
    in_lanes(n, [=](i64 c) MICA_LAMBDA_INLINE { gx[c] = static_cast<T>(soft * static_cast<double>(weight[c])) - pulled(c); });
  else
    in_lanes(n, [=](i64 c) MICA_LAMBDA_INLINE { gx[c] = share - pulled(c); });
  if (const i64 t = gradient.target; counts(call.d, t)) gx[t] = gradient.of(t, weight_of(weight, t)) - pulled(t);
}

// ---- up to `tile` lines side by side ----

template <class T>
MICA_INLINE void lines_forward(const Forward<T>& f, const LineGroup& g) {
  const CrossEntropy<T>& call = f.call;
  const i64 n = call.d.classes, inner = call.d.inner;
  const T* x = call.x + g.at;
  T *largest = f.largest + g.first, *logs = f.logs + g.first;
  largest_of_lines(g.count, n, inner, x, largest);
  log_totals(g.count, n, inner, x, largest, logs);
  double all[tile] = {};
  if (call.smoothing != 0)
    for (i64 c = 0; c < n; ++c) {
      const double w = weight_of(call.weight, c);
      for (i64 lane = 0; lane < g.count; ++lane) all[lane] += w * static_cast<double>(x[c * inner + lane] - largest[lane] - logs[lane]);
    }
  for (i64 lane = 0; lane < g.count; ++lane) {
    const i64 t = call.target[g.first + lane];
    f.single[g.first + lane] = counts(call.d, t) ? smoothed_loss(call, t, x[t * inner + lane] - largest[lane] - logs[lane], all[lane]) : 0;
  }
}

template <class T>
MICA_INLINE void lines_backward(const Backward<T>& b, const LineGroup& g) {
  const CrossEntropy<T>& call = b.call;
  const i64 inner = call.d.inner;
  const T *x = call.x + g.at, *largest = b.largest + g.first, *logs = b.logs + g.first;
  T* gx = b.gx + g.at;
  LineGradient<T> gradient[tile];
  T total[tile], share[tile];
  for (i64 lane = 0; lane < g.count; ++lane) {
    gradient[lane] = LineGradient<T>(call, g.first + lane, b.total_weight, b.gloss);
    total[lane] = gradient[lane].total(b.all), share[lane] = gradient[lane].share(1);
  }
  const auto pulled = [=, &total](i64 c, i64 lane) MICA_LAMBDA_INLINE {
    return math::exp_nonpositive(x[c * inner + lane] - largest[lane] - logs[lane]) * total[lane];
  };
  for (i64 c = 0; c < call.d.classes; ++c) {
    if (call.weight && call.smoothing != 0)
      for (i64 lane = 0; lane < g.count; ++lane) share[lane] = gradient[lane].share(static_cast<double>(call.weight[c]));
    for (i64 lane = 0; lane < g.count; ++lane) gx[c * inner + lane] = share[lane] - pulled(c, lane);
  }
  for (i64 lane = 0; lane < g.count; ++lane)
    if (const i64 t = gradient[lane].target; counts(call.d, t)) gx[t * inner + lane] = gradient[lane].of(t, weight_of(call.weight, t)) - pulled(t, lane);
}

// As plain functions, because only those can be compiled for several instruction sets.
#define MICA_CROSS_ENTROPY(HOT, T)                                     \
  HOT void forward_run(const Forward<T>& f, const LineGroup& g) {      \
    if (f.call.d.inner == 1) line_forward(f, g);                       \
    else lines_forward(f, g);                                          \
  }                                                                    \
  HOT void backward_run(const Backward<T>& b, const LineGroup& g) {    \
    if (b.call.d.inner == 1) line_backward(b, g);                      \
    else lines_backward(b, g);                                         \
  }
MICA_CROSS_ENTROPY(MICA_HOT, float)
MICA_CROSS_ENTROPY(, double)

SoftmaxDims lines_of(const NllDims& d) { return {d.outer, d.classes, d.inner}; }

}  // namespace

template <class T>
void cross_entropy_forward(Cpu& cpu, const CrossEntropy<T>& call, T* kept, double* total_weight, T* loss) {
  const i64 lines = call.d.outer * call.d.inner;
  const Forward<T> f{call, kept, kept + lines, cpu.scratch<double>(static_cast<std::size_t>(lines))};
  for_each_group(cpu, lines_of(call.d), [&](const LineGroup& g) { forward_run(f, g); });
  finish_losses(call.d, f.single, call.target, call.weight, total_weight, loss);
}

template <class T>
void cross_entropy_backward(Cpu& cpu, const CrossEntropy<T>& call, const T* kept, const double* total_weight, const T* gloss, T* gx) {
  double all = 0;
  for (i64 c = 0; c < call.d.classes; ++c) all += weight_of(call.weight, c);
  const Backward<T> b{call, kept, kept + call.d.outer * call.d.inner, all, total_weight, gloss, gx};
  for_each_group(cpu, lines_of(call.d), [&](const LineGroup& g) { backward_run(b, g); });
}

#define MICA_FLOATING(T)                                                                        \
  template void cross_entropy_forward(Cpu&, const CrossEntropy<T>&, T*, double*, T*);           \
  template void cross_entropy_backward(Cpu&, const CrossEntropy<T>&, const T*, const double*, const T*, T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
