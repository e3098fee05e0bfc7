#include <mica/kernels/cpu/softmax_lines.h>

namespace mica::kernels {
namespace {

// ---- one contiguous line ----

template <bool logarithm, class T>
MICA_INLINE void forward_line(i64 n, const T* x, T* y) {
  const T largest = largest_of(n, x);
  if (logarithm) {
    const T by = log_total(n, x, largest);
    for (i64 i = 0; i < n; ++i) y[i] = x[i] - largest - by;
  } else {
    for (i64 i = 0; i < n; ++i) y[i] = math::exp_nonpositive(x[i] - largest);
    const T by = static_cast<T>(1 / lane_sum(n, [=](i64 i) MICA_LAMBDA_INLINE { return y[i]; }));
    for (i64 i = 0; i < n; ++i) y[i] *= by;
  }
}

template <bool logarithm, class T>
MICA_INLINE void backward_line(i64 n, const T* y, const T* gy, T* gx) {
  if (logarithm) {
    const T total = static_cast<T>(lane_sum(n, [=](i64 i) MICA_LAMBDA_INLINE { return gy[i]; }));
    for (i64 i = 0; i < n; ++i) gx[i] = gy[i] - math::exp_nonpositive(y[i]) * total;
  } else {
    const T total = static_cast<T>(lane_sum(n, [=](i64 i) MICA_LAMBDA_INLINE { return gy[i] * y[i]; }));
    for (i64 i = 0; i < n; ++i) gx[i] = y[i] * (gy[i] - total);
  }
}

// ---- up to `tile` lines side by side, each with a step of `inner` ----

template <bool logarithm, class T>
MICA_INLINE void forward_lines(i64 count, i64 n, i64 inner, const T* x, T* y) {
  T largest[tile], by[tile];
  largest_of_lines(count, n, inner, x, largest);
  if (logarithm) {
    log_totals(count, n, inner, x, largest, by);
    for (i64 k = 0; k < n; ++k)
      for (i64 lane = 0; lane < count; ++lane) y[k * inner + lane] = x[k * inner + lane] - largest[lane] - by[lane];
  } else {
    double total[tile];
    exp_totals(count, n, inner, x, largest, total, [=](i64 i, T e) MICA_LAMBDA_INLINE { y[i] = e; });
    for (i64 lane = 0; lane < count; ++lane) by[lane] = static_cast<T>(1 / total[lane]);
    for (i64 k = 0; k < n; ++k)
      for (i64 lane = 0; lane < count; ++lane) y[k * inner + lane] *= by[lane];
  }
}

template <bool logarithm, class T>
MICA_INLINE void backward_lines(i64 count, i64 n, i64 inner, const T* y, const T* gy, T* gx) {
  double total[tile] = {};
  T held[tile];
  for (i64 k = 0; k < n; ++k)
    for (i64 lane = 0; lane < count; ++lane)
      total[lane] += static_cast<double>(logarithm ? gy[k * inner + lane] : gy[k * inner + lane] * y[k * inner + lane]);
  for (i64 lane = 0; lane < count; ++lane) held[lane] = static_cast<T>(total[lane]);
  for (i64 k = 0; k < n; ++k)
    for (i64 lane = 0; lane < count; ++lane) {
      const i64 i = k * inner + lane;
      gx[i] = logarithm ? gy[i] - math::exp_nonpositive(y[i]) * held[lane] : y[i] * (gy[i] - held[lane]);
    }
}

// As plain functions, because only those can be compiled for several instruction sets. `count` lines from a place.
#define MICA_SOFTMAX(HOT, name, logarithm, T)                                                         \
  HOT void name##_run(i64 count, i64 n, i64 inner, const T* x, T* y) {                                \
    if (inner == 1) forward_line<logarithm>(n, x, y);                                                 \
    else forward_lines<logarithm>(count, n, inner, x, y);                                             \
  }                                                                                                   \
  HOT void name##_backward_run(i64 count, i64 n, i64 inner, const T* y, const T* gy, T* gx) {         \
    if (inner == 1) backward_line<logarithm>(n, y, gy, gx);                                           \
    else backward_lines<logarithm>(count, n, inner, y, gy, gx);                                       \
  }
MICA_SOFTMAX(MICA_HOT, softmax, false, float)
MICA_SOFTMAX(MICA_HOT, log_softmax, true, float)
MICA_SOFTMAX(, softmax, false, double)
MICA_SOFTMAX(, log_softmax, true, double)

}  // namespace

template <class T>
void softmax_forward(Cpu& cpu, const SoftmaxDims& d, const T* x, T* y) {
  for_each_group(cpu, d, [&](const LineGroup& g) { softmax_run(g.count, d.length, d.inner, x + g.at, y + g.at); });
}
template <class T>
void softmax_backward(Cpu& cpu, const SoftmaxDims& d, const T* y, const T* gy, T* gx) {
  for_each_group(cpu, d, [&](const LineGroup& g) { softmax_backward_run(g.count, d.length, d.inner, y + g.at, gy + g.at, gx + g.at); });
}
template <class T>
void log_softmax_forward(Cpu& cpu, const SoftmaxDims& d, const T* x, T* y) {
  for_each_group(cpu, d, [&](const LineGroup& g) { log_softmax_run(g.count, d.length, d.inner, x + g.at, y + g.at); });
}
template <class T>
void log_softmax_backward(Cpu& cpu, const SoftmaxDims& d, const T* y, const T* gy, T* gx) {
  for_each_group(cpu, d, [&](const LineGroup& g) { log_softmax_backward_run(g.count, d.length, d.inner, y + g.at, gy + g.at, gx + g.at); });
}

#define MICA_FLOATING(T)                                                            \
  template void softmax_forward(Cpu&, const SoftmaxDims&, const T*, T*);            \
  template void softmax_backward(Cpu&, const SoftmaxDims&, const T*, const T*, T*); \
  template void log_softmax_forward(Cpu&, const SoftmaxDims&, const T*, T*);        \
  template void log_softmax_backward(Cpu&, const SoftmaxDims&, const T*, const T*, T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
