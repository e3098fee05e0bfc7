// Naive batch normalisation of rows×channels, as kernels/batch_norm.h writes it. In: of what another formula may have made.
#pragma once

#include "../naive.h"

#include <mica/kernels/dropout.h>

namespace mica::bench {

template <class Real, class In = float>
struct ChannelMeanFormula {
  i64 rows, channels;
  const In* x;
  MICA_FUNCTION Real operator()(i64 c) const {
    Real sum = 0;
    for (i64 r = 0; r < rows; ++r) sum += Real(x[r * channels + c]);
    return sum / Real(rows);
  }
};

template <class Real, class In = float>
struct ChannelVarianceFormula {
  i64 rows, channels;
  const In* x;
  const Real* mean;
  MICA_FUNCTION Real operator()(i64 c) const {
    Real sum = 0;
    for (i64 r = 0; r < rows; ++r) sum += (Real(x[r * channels + c]) - mean[c]) * (Real(x[r * channels + c]) - mean[c]);
    return sum / Real(rows);
  }
};

template <class Real>
struct InverseDeviationFormula {
  double eps;
  const Real* variance;
  MICA_FUNCTION Real operator()(i64 c) const { return Real(1) / std::sqrt(variance[c] + Real(eps)); }
};

// z = w · (x − mean) / deviation + b
template <class Real>
struct NormalizeFormula {
  i64 channels;
  const float *x, *w, *b;
  const Real *mean, *inverse;
  MICA_FUNCTION Real operator()(i64 i) const {
    const i64 c = i % channels;
    return (Real(x[i]) - mean[c]) * inverse[c] * Real(w[c]) + Real(b[c]);
  }
};

// y = dropout(relu(x · scale + shift)), each of the two only where it is asked for.
template <class Real>
struct ApplyFormula {
  i64 channels;
  const float *x, *scale, *shift;
  bool relu;
  kernels::RandomKey key;
  std::uint32_t threshold;  // 0: no dropout
  double kept_scale;
  MICA_FUNCTION Real operator()(i64 i) const {
    const i64 c = i % channels;
    const Real z = Real(x[i]) * Real(scale[c]) + Real(shift[c]), a = relu && z < 0 ? Real(0) : z;
    if (threshold == 0) return a;
    return kernels::random_bits(key, static_cast<std::uint64_t>(i)) >= threshold ? a * Real(kept_scale) : Real(0);
  }
};

// ---- gradients; g = gy · kept_scale where y > 0, or gy without an epilogue (y null) ----

template <class Real, class In>
MICA_FUNCTION Real epilogue_gradient(const float* y, const In* gy, double kept_scale, i64 i) {
  return y ? (y[i] > 0 ? Real(gy[i]) * Real(kept_scale) : Real(0)) : Real(gy[i]);
}

template <class Real, class In = float>
struct BiasGradientFormula {
  i64 rows, channels;
  const float* y;
  const In* gy;
  double kept_scale;
  MICA_FUNCTION Real operator()(i64 c) const {
    Real sum = 0;
    for (i64 r = 0; r < rows; ++r) sum += epilogue_gradient<Real>(y, gy, kept_scale, r * channels + c);
    return sum;
  }
};

template <class Real, class In = float>
struct ScaleGradientFormula {
  i64 rows, channels;
  const float *x, *y;
  const In* gy;
  const float *mean, *inverse;
  double kept_scale;
  MICA_FUNCTION Real operator()(i64 c) const {
    Real sum = 0;
    for (i64 r = 0; r < rows; ++r) {
      const i64 i = r * channels + c;
      sum += epilogue_gradient<Real>(y, gy, kept_scale, i) * (Real(x[i]) - Real(mean[c])) * Real(inverse[c]);
    }
    return sum;
  }
};

template <class Real>
struct NormGradientFormula {
  i64 rows, channels;
  const float *x, *y, *gy, *mean, *inverse, *scale;
  const Real *gw, *gb;
  double kept_scale;
  MICA_FUNCTION Real operator()(i64 i) const {
    const i64 c = i % channels;
    const Real normal = (Real(x[i]) - Real(mean[c])) * Real(inverse[c]);
    return Real(scale[c]) * (epilogue_gradient<Real>(y, gy, kept_scale, i) - gb[c] / Real(rows) - normal * gw[c] / Real(rows));
  }
};

}  // namespace mica::bench
