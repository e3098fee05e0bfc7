// Sums of a row that become vector code, in an order of the row's length alone.
#pragma once

#include <mica/kernels/cpu/parallel.h>
#include <mica/kernels/dims.h>

#include <algorithm>

namespace mica::kernels {

// Σ f(i) for i < n: sixteen partial sums in f's own precision over 512 elements at a time (32 additions each, an error of
// 1e-6 at the very most in f32), which are then added in f64.
template <class F>
MICA_INLINE double lane_sum(i64 n, const F& f) {
  constexpr i64 lanes = 16, chunk = 512;
  using T = decltype(f(i64{0}));
  double total[lanes] = {};
  i64 i = 0;
  while (i + lanes <= n) {
    T part[lanes] = {};
    const i64 end = std::min(n - lanes, i + chunk - lanes);
    for (; i <= end; i += lanes)
      for (i64 lane = 0; lane < lanes; ++lane) part[lane] += f(i + lane);
    for (i64 lane = 0; lane < lanes; ++lane) total[lane] += static_cast<double>(part[lane]);
  }
  for (; i < n; ++i) total[0] += static_cast<double>(f(i));
  for (i64 lane = 1; lane < lanes; ++lane) total[0] += total[lane];
  return total[0];
}

}  // namespace mica::kernels
