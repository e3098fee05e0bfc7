// Naive updates: what one parameter and its state become.
#pragma once

#include "../naive.h"

namespace mica::bench {

template <class Real>
struct MomentumFormula {  // momentum·b + g
  double momentum;
  const float *buffer, *gradient;
  MICA_FUNCTION Real operator()(i64 i) const { return Real(momentum) * Real(buffer[i]) + Real(gradient[i]); }
};

template <class Real>
struct SgdFormula {  // θ − lr·b
  double lr;
  const float* parameter;
  const Real* buffer;
  MICA_FUNCTION Real operator()(i64 i) const { return Real(parameter[i]) - Real(lr) * buffer[i]; }
};

template <class Real>
struct MovingAverageFormula {  // β·m + (1 − β)·g, or of g²
  double beta;
  bool squared;
  const float *average, *gradient;
  MICA_FUNCTION Real operator()(i64 i) const {
    const Real g = Real(gradient[i]);
    return Real(beta) * Real(average[i]) + Real(1 - beta) * (squared ? g * g : g);
  }
};

template <class Real>
struct AdamFormula {  // θ − rate·m / (√v·scale + eps)
  double rate, scale, eps;
  const float* parameter;
  const Real *mean, *mean_square;
  MICA_FUNCTION Real operator()(i64 i) const {
    return Real(parameter[i]) - Real(rate) * mean[i] / (std::sqrt(mean_square[i]) * Real(scale) + Real(eps));
  }
};

}  // namespace mica::bench
