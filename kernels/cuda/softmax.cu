// A team of threads takes a line: lanes or a block where it is contiguous (inner = 1), threads beside those of its neighbours
// otherwise. It is read once from memory and then, while it is short, from the cache.
#include <mica/kernels/cuda/cudnn_ops.h>
#include <mica/kernels/cuda/team.h>
#include <mica/kernels/math.h>
#include <mica/kernels/softmax.h>

#include <cmath>
#include <limits>

namespace mica::kernels {
namespace {

// As on the CPU: a NaN is passed over here, and then makes the sum NaN.
struct Larger {
  template <class T> MICA_DEVICE T operator()(T a, T b) const { return a > b ? a : b; }
};

// Where a team's line begins, and how much of it there is: nothing for a team beyond the last line.
struct Line {
  i64 begin;
  unsigned n;

  MICA_DEVICE Line(unsigned index, unsigned lines, unsigned length, unsigned inner)
      : begin(index < lines ? static_cast<i64>(index / inner) * length * inner + index % inner : 0), n(index < lines ? length : 0) {}
};

template <class Team, bool logarithm, class T>
__global__ void forward_kernel(unsigned lines, unsigned length, unsigned inner, unsigned width, const T* x, T* y) {
  const Team team(width);
  const Line line(team.index, lines, length, inner);
  x += line.begin, y += line.begin;
  const T lowest = -std::numeric_limits<T>::infinity();
  T largest = lowest;
  for (unsigned i = team.rank; i < line.n; i += team.size) largest = Larger{}(x[static_cast<i64>(i) * inner], largest);
  largest = team.reduce(largest, lowest, Larger{});
  double total = 0;
  for (unsigned i = team.rank; i < line.n; i += team.size)
    total += static_cast<double>(math::exp_nonpositive<true>(x[static_cast<i64>(i) * inner] - largest));
  total = team.reduce(total, 0.0, Plus{});
  const T by = static_cast<T>(logarithm ? std::log(total) : 1 / total);
  for (unsigned i = team.rank; i < line.n; i += team.size) {
    const T v = x[static_cast<i64>(i) * inner] - largest;
    y[static_cast<i64>(i) * inner] = logarithm ? v - by : math::exp_nonpositive<true>(v) * by;
  }
}

template <class Team, bool logarithm, class T>
__global__ void backward_kernel(unsigned lines, unsigned length, unsigned inner, unsigned width, const T* y, const T* gy, T* gx) {
  const Team team(width);
  const Line line(team.index, lines, length, inner);
  y += line.begin, gy += line.begin, gx += line.begin;
  double sum = 0;
  for (unsigned i = team.rank; i < line.n; i += team.size) {
    const i64 at = static_cast<i64>(i) * inner;
    sum += static_cast<double>(logarithm ? gy[at] : gy[at] * y[at]);
  }
  const T total = static_cast<T>(team.reduce(sum, 0.0, Plus{}));
  for (unsigned i = team.rank; i < line.n; i += team.size) {
    const i64 at = static_cast<i64>(i) * inner;
    gx[at] = logarithm ? gy[at] - math::exp_nonpositive<true>(y[at]) * total : y[at] * (gy[at] - total);
  }
}

template <bool logarithm, class T>
struct Forward {
  template <class Team> static constexpr auto kernel = forward_kernel<Team, logarithm, T>;
};
template <bool logarithm, class T>
struct Backward {
  template <class Team> static constexpr auto kernel = backward_kernel<Team, logarithm, T>;
};

template <class Kernels, class... P>
void for_each_line(Cuda& cuda, const char* name, const SoftmaxDims& d, P... pointers) {
  const i64 lines = d.outer * d.inner;
  if (lines * d.length == 0) return;
  const TeamShape shape = d.inner == 1 ? teams_for_rows(lines, d.length) : teams_for_columns(lines, d.length);
  launch(cuda, name, shape.kernel<Kernels>(), shape.launch, static_cast<unsigned>(lines), static_cast<unsigned>(d.length),
         static_cast<unsigned>(d.inner), shape.width, pointers...);
}

}  // namespace

template <class T>
void softmax_forward(Cuda& cuda, const SoftmaxDims& d, const T* x, T* y) {
  if (MICA_BY_CUDNN(softmax, cudnn_ops::softmax_forward(cuda, d, false, x, y))) return;
  for_each_line<Forward<false, T>>(cuda, "softmax_forward", d, x, y);
}
template <class T>
void softmax_backward(Cuda& cuda, const SoftmaxDims& d, const T* y, const T* gy, T* gx) {
  if (MICA_BY_CUDNN(softmax, cudnn_ops::softmax_backward(cuda, d, false, y, gy, gx))) return;
  for_each_line<Backward<false, T>>(cuda, "softmax_backward", d, y, gy, gx);
}
template <class T>
void log_softmax_forward(Cuda& cuda, const SoftmaxDims& d, const T* x, T* y) {
  if (MICA_BY_CUDNN(softmax, cudnn_ops::softmax_forward(cuda, d, true, x, y))) return;
  for_each_line<Forward<true, T>>(cuda, "log_softmax_forward", d, x, y);
}
template <class T>
void log_softmax_backward(Cuda& cuda, const SoftmaxDims& d, const T* y, const T* gy, T* gx) {
  if (MICA_BY_CUDNN(softmax, cudnn_ops::softmax_backward(cuda, d, true, y, gy, gx))) return;
  for_each_line<Backward<true, T>>(cuda, "log_softmax_backward", d, y, gy, gx);
}

#define MICA_FLOATING(T)                                                             \
  template void softmax_forward(Cuda&, const SoftmaxDims&, const T*, T*);            \
  template void softmax_backward(Cuda&, const SoftmaxDims&, const T*, const T*, T*); \
  template void log_softmax_forward(Cuda&, const SoftmaxDims&, const T*, T*);        \
  template void log_softmax_backward(Cuda&, const SoftmaxDims&, const T*, const T*, T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
