// Naive elementwise formulas.
#pragma once

#include "../naive.h"

namespace mica::bench {

template <class Real>
struct ReluFormula {
  const float* x;
  MICA_FUNCTION Real operator()(i64 i) const { return x[i] < 0 ? Real(0) : Real(x[i]); }
};

template <class Real>
struct ReluGradientFormula {
  const float *y, *gy;
  MICA_FUNCTION Real operator()(i64 i) const { return y[i] <= 0 ? Real(0) : Real(gy[i]); }
};

template <class Real>
struct SigmoidFormula {
  const float* x;
  MICA_FUNCTION Real operator()(i64 i) const { return Real(1) / (Real(1) + std::exp(-Real(x[i]))); }
};

template <class Real>
struct AddFormula {
  const float *a, *b;
  MICA_FUNCTION Real operator()(i64 i) const { return Real(a[i]) + Real(b[i]); }
};

template <class Real>
struct GeluFormula {  // x·Φ(x)
  const float* x;
  MICA_FUNCTION Real operator()(i64 i) const { return Real(0.5) * x[i] * (Real(1) + std::erf(Real(x[i]) * Real(0.70710678118654752440))); }
};

}  // namespace mica::bench
