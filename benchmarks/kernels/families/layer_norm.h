// Naive layer normalisation of the rows of rows×n, as kernels/layer_norm.h writes it.
#pragma once

#include "../naive.h"

namespace mica::bench {

template <class Real>
struct RowMeanFormula {
  i64 n;
  const float* x;
  MICA_FUNCTION Real operator()(i64 row) const {
    Real sum = 0;
    for (i64 i = row * n; i < (row + 1) * n; ++i) sum += Real(x[i]);
    return sum / Real(n);
  }
};

template <class Real>
struct RowVarianceFormula {
  i64 n;
  const float* x;
  const Real* mean;
  MICA_FUNCTION Real operator()(i64 row) const {
    Real sum = 0;
    for (i64 i = row * n; i < (row + 1) * n; ++i) sum += (Real(x[i]) - mean[row]) * (Real(x[i]) - mean[row]);
    return sum / Real(n);
  }
};

template <class Real>
struct LayerNormFormula {  // x̂·w + b
  i64 n;
  const float *x, *w, *b;
  const Real *mean, *inverse;
  MICA_FUNCTION Real operator()(i64 i) const { return (Real(x[i]) - mean[i / n]) * inverse[i / n] * Real(w[i % n]) + Real(b[i % n]); }
};

// ---- gradients ----

template <class Real>
struct RowGradientMeanFormula {  // the mean of h = gy·w, or of h·x̂
  i64 n;
  bool by_x;
  const float *x, *w, *mean, *inverse, *gy;
  MICA_FUNCTION Real operator()(i64 row) const {
    Real sum = 0;
    for (i64 k = 0; k < n; ++k) {
      const Real h = Real(gy[row * n + k]) * Real(w[k]);
      sum += by_x ? h * (Real(x[row * n + k]) - Real(mean[row])) * Real(inverse[row]) : h;
    }
    return sum / Real(n);
  }
};

template <class Real>
struct LayerNormGradientFormula {  // r·(h − mean(h) − x̂·mean(h·x̂))
  i64 n;
  const float *x, *w, *mean, *inverse, *gy;
  const Real *mean_h, *mean_h_x;
  MICA_FUNCTION Real operator()(i64 i) const {
    const i64 row = i / n;
    const Real r = Real(inverse[row]), normal = (Real(x[i]) - Real(mean[row])) * r;
    return r * (Real(gy[i]) * Real(w[i % n]) - mean_h[row] - normal * mean_h_x[row]);
  }
};

template <class Real>
struct LayerScaleGradientFormula {  // Σ gy·x̂ down a column
  i64 rows, n;
  const float *x, *mean, *inverse, *gy;
  MICA_FUNCTION Real operator()(i64 k) const {
    Real sum = 0;
    for (i64 row = 0; row < rows; ++row) sum += Real(gy[row * n + k]) * (Real(x[row * n + k]) - Real(mean[row])) * Real(inverse[row]);
    return sum;
  }
};

}  // namespace mica::bench
