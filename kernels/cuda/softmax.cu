#include <mica/kernels/cuda/cudnn_ops.h>
#include <mica/kernels/cuda/softmax_lines.h>

#include <cmath>

namespace mica::kernels {
namespace {

template <class Team, bool logarithm, class T>
__global__ void __launch_bounds__(Team::most_threads, 1)
    forward_kernel(unsigned lines, unsigned length, unsigned inner, unsigned width, const T* x, T* y) {
  const Team team(width);
  const Line line(team.index, lines, length, inner);
  x += line.begin, y += line.begin;
  const T largest = largest_of(team, line.n, inner, x);
  const double total = exp_total(team, line.n, inner, x, largest);
  const T by = static_cast<T>(logarithm ? std::log(total) : 1 / total);
  for (unsigned i = team.rank; i < line.n; i += team.size) {
    const T v = x[static_cast<i64>(i) * inner] - largest;
    y[static_cast<i64>(i) * inner] = logarithm ? v - by : math::exp_nonpositive<true>(v) * by;
  }
}

template <class Team, bool logarithm, class T>
__global__ void __launch_bounds__(Team::most_threads, 1)
    backward_kernel(unsigned lines, unsigned length, unsigned inner, unsigned width, const T* y, const T* gy, T* gx) {
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
