// `lanes` neighbours go side by side in vector registers: along a line where it is contiguous (inner = 1), otherwise
// as many lines at once.
#include <mica/kernels/cpu/lane_sum.h>
#include <mica/kernels/math.h>
#include <mica/kernels/softmax.h>

#include <limits>

namespace mica::kernels {
namespace {

constexpr i64 lanes = 16, tile = 64;

template <class T> MICA_INLINE T larger(T a, T b) { return a > b ? a : b; }

// ---- one contiguous line ----

template <class T>
MICA_INLINE T largest_of(i64 n, const T* x) {
  T best[lanes];
  std::fill(best, best + lanes, -std::numeric_limits<T>::infinity());
  i64 i = 0;
  for (; i + lanes <= n; i += lanes)
    for (i64 lane = 0; lane < lanes; ++lane) best[lane] = larger(x[i + lane], best[lane]);
  for (; i < n; ++i) best[0] = larger(x[i], best[0]);
  for (i64 lane = 1; lane < lanes; ++lane) best[0] = larger(best[lane], best[0]);
  return best[0];
}

template <bool logarithm, class T>
MICA_INLINE void forward_line(i64 n, const T* x, T* y) {
  const T largest = largest_of(n, x);
  if (logarithm) {
    const double total = lane_sum(n, [=](i64 i) MICA_LAMBDA_INLINE { return math::exp_nonpositive(x[i] - largest); });
    const T log_total = static_cast<T>(std::log(total));
    for (i64 i = 0; i < n; ++i) y[i] = x[i] - largest - log_total;
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
  T largest[tile];
  double total[tile] = {};
  std::fill(largest, largest + count, -std::numeric_limits<T>::infinity());
  for (i64 k = 0; k < n; ++k)
    for (i64 lane = 0; lane < count; ++lane) largest[lane] = larger(x[k * inner + lane], largest[lane]);
  for (i64 k = 0; k < n; ++k)
    for (i64 lane = 0; lane < count; ++lane) {
      const T e = math::exp_nonpositive(x[k * inner + lane] - largest[lane]);
      total[lane] += static_cast<double>(e);
      y[k * inner + lane] = e;
    }
  if (logarithm) {
    T by[tile];
    for (i64 lane = 0; lane < count; ++lane) by[lane] = static_cast<T>(std::log(total[lane]));
    for (i64 k = 0; k < n; ++k)
      for (i64 lane = 0; lane < count; ++lane) y[k * inner + lane] = x[k * inner + lane] - largest[lane] - by[lane];
  } else {
    T by[tile];
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

// f(lines, offset of the first) for groups of lines that lie side by side.
template <class F>
void for_each_group(Cpu& cpu, const SoftmaxDims& d, const F& f) {
  if (d.outer * d.length * d.inner == 0) return;
  const i64 width = std::min(tile, d.inner), groups = (d.inner + width - 1) / width;
  parallel_for(cpu, d.outer * groups, 1 + 4096 / (d.length * width), [&](i64 begin, i64 end) {
    for (i64 i = begin; i < end; ++i) {
      const i64 first = i % groups * width;
      f(std::min(width, d.inner - first), i / groups * d.length * d.inner + first);
    }
  });
}

}  // namespace

template <class T>
void softmax_forward(Cpu& cpu, const SoftmaxDims& d, const T* x, T* y) {
  for_each_group(cpu, d, [&](i64 count, i64 at) { softmax_run(count, d.length, d.inner, x + at, y + at); });
}
template <class T>
void softmax_backward(Cpu& cpu, const SoftmaxDims& d, const T* y, const T* gy, T* gx) {
  for_each_group(cpu, d, [&](i64 count, i64 at) { softmax_backward_run(count, d.length, d.inner, y + at, gy + at, gx + at); });
}
template <class T>
void log_softmax_forward(Cpu& cpu, const SoftmaxDims& d, const T* x, T* y) {
  for_each_group(cpu, d, [&](i64 count, i64 at) { log_softmax_run(count, d.length, d.inner, x + at, y + at); });
}
template <class T>
void log_softmax_backward(Cpu& cpu, const SoftmaxDims& d, const T* y, const T* gy, T* gx) {
  for_each_group(cpu, d, [&](i64 count, i64 at) { log_softmax_backward_run(count, d.length, d.inner, y + at, gy + at, gx + at); });
}

#define MICA_FLOATING(T)                                                            \
  template void softmax_forward(Cpu&, const SoftmaxDims&, const T*, T*);            \
  template void softmax_backward(Cpu&, const SoftmaxDims&, const T*, const T*, T*); \
  template void log_softmax_forward(Cpu&, const SoftmaxDims&, const T*, T*);        \
  template void log_softmax_backward(Cpu&, const SoftmaxDims&, const T*, const T*, T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
