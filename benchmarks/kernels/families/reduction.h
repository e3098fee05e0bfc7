// Naive reductions.
#pragma once

#include "../naive.h"

namespace mica::bench {

// Σ of `length` values from i·step, `stride` apart.
template <class Real>
struct SumFormula {
  i64 length, step, stride;
  const float* x;
  MICA_FUNCTION Real operator()(i64 i) const {
    Real sum = 0;
    for (i64 k = 0; k < length; ++k) sum += Real(x[i * step + k * stride]);
    return sum;
  }
};

template <class Real>
struct LargestFormula {
  i64 length, step, stride;
  const float* x;
  MICA_FUNCTION Real operator()(i64 i) const {
    float most = x[i * step];
    for (i64 k = 1; k < length; ++k) most = x[i * step + k * stride] > most ? x[i * step + k * stride] : most;
    return Real(most);
  }
};

}  // namespace mica::bench
