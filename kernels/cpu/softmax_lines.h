// Lines that softmax works on, and their largest values and sums of exponentials. `lanes` neighbours go side by side in vector
// registers: along a line where it is contiguous (inner = 1), otherwise as many lines at once. All is inlined into functions that
// are compiled for several instruction sets.
#pragma once

#include <mica/kernels/cpu/lane_sum.h>
#include <mica/kernels/math.h>
#include <mica/kernels/softmax.h>

#include <algorithm>
#include <limits>

namespace mica::kernels {

inline constexpr i64 lanes = 16, tile = 64;

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

// f(i) for all i < n, for some of them twice: the last lanes overlap those before.
template <class F>
MICA_INLINE void in_lanes(i64 n, const F& f) {
  if (n < lanes) {
    for (i64 i = 0; i < n; ++i) f(i);
    return;
  }
  for (i64 i = 0; i < n / lanes * lanes; ++i) f(i);
  if (n % lanes > 0)
    for (i64 i = n - lanes; i < n; ++i) f(i);
}

// log Σ exp(x − largest). The last n % lanes are made in vector registers too, with what precedes them or with zeros, since exp of
// single values would take as long as all others.
template <class T>
MICA_INLINE T log_total(i64 n, const T* x, T largest) {
  const auto exp_of = [=](T v) MICA_LAMBDA_INLINE { return math::exp_nonpositive(v - largest); };
  double total = lane_sum(n / lanes * lanes, [=](i64 i) MICA_LAMBDA_INLINE { return exp_of(x[i]); });
  if (const i64 rest = n % lanes; rest > 0) {
    T copy[lanes] = {}, last[lanes];
    if (n < lanes) std::copy(x, x + n, copy + lanes - n);
    const T* from = n < lanes ? copy : x + n - lanes;
    for (i64 lane = 0; lane < lanes; ++lane) last[lane] = exp_of(from[lane]);
    for (i64 lane = lanes - rest; lane < lanes; ++lane) total += static_cast<double>(last[lane]);
  }
  return static_cast<T>(std::log(total));
}

// ---- up to `tile` lines side by side, each with a step of `inner` ----

template <class T>
MICA_INLINE void largest_of_lines(i64 count, i64 n, i64 inner, const T* x, T* largest) {
  std::fill(largest, largest + count, -std::numeric_limits<T>::infinity());
  for (i64 k = 0; k < n; ++k)
    for (i64 lane = 0; lane < count; ++lane) largest[lane] = larger(x[k * inner + lane], largest[lane]);
}

// total[lane] = Σ exp(x − largest); use(i, exp) for each, where x is at i.
template <class T, class Use>
MICA_INLINE void exp_totals(i64 count, i64 n, i64 inner, const T* x, const T* largest, double* total, const Use& use) {
  std::fill(total, total + count, 0.0);
  for (i64 k = 0; k < n; ++k)
    for (i64 lane = 0; lane < count; ++lane) {
      const T e = math::exp_nonpositive(x[k * inner + lane] - largest[lane]);
      total[lane] += static_cast<double>(e);
      use(k * inner + lane, e);
    }
}

template <class T>
MICA_INLINE void log_totals(i64 count, i64 n, i64 inner, const T* x, const T* largest, T* logs) {
  double total[tile];
  exp_totals(count, n, inner, x, largest, total, [](i64, T) MICA_LAMBDA_INLINE {});
  for (i64 lane = 0; lane < count; ++lane) logs[lane] = static_cast<T>(std::log(total[lane]));
}

// ----

// `count` lines that lie side by side: the number of the first, and where in memory it begins.
struct LineGroup {
  i64 count, first, at;
};

// f(group) for all lines.
template <class F>
void for_each_group(Cpu& cpu, const SoftmaxDims& d, const F& f) {
  if (d.outer * d.inner == 0) return;
  const i64 width = std::min(tile, d.inner), groups = (d.inner + width - 1) / width;
  parallel_for(cpu, d.outer * groups, 1 + 4096 / (std::max<i64>(d.length, 1) * width), [&](i64 begin, i64 end) {
    for (i64 i = begin; i < end; ++i) {
      const i64 outer = i / groups, column = i % groups * width;
      f(LineGroup{std::min(width, d.inner - column), outer * d.inner + column, outer * d.length * d.inner + column});
    }
  });
}

}  // namespace mica::kernels
