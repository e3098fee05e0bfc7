// Naive softmax, log-softmax and cross-entropy along the rows of lines×length.
#pragma once

#include "../naive.h"

namespace mica::bench {

template <class Real>
struct LineMaxFormula {
  i64 length;
  const float* x;
  MICA_FUNCTION Real operator()(i64 line) const {
    float most = x[line * length];
    for (i64 k = 1; k < length; ++k) most = x[line * length + k] > most ? x[line * length + k] : most;
    return Real(most);
  }
};

template <class Real>
struct LineSumFormula {  // Σ exp(x − most)
  i64 length;
  const float* x;
  const Real* most;
  MICA_FUNCTION Real operator()(i64 line) const {
    Real sum = 0;
    for (i64 k = 0; k < length; ++k) sum += std::exp(Real(x[line * length + k]) - most[line]);
    return sum;
  }
};

template <class Real>
struct SoftmaxFormula {
  i64 length;
  bool logarithm;
  const float* x;
  const Real *most, *sum;
  MICA_FUNCTION Real operator()(i64 i) const {
    const i64 line = i / length;
    const Real below = Real(x[i]) - most[line];
    return logarithm ? below - std::log(sum[line]) : std::exp(below) / sum[line];
  }
};

template <class Real>
struct LineDotFormula {  // Σ gy, or Σ gy·y
  i64 length;
  bool logarithm;
  const float *y, *gy;
  MICA_FUNCTION Real operator()(i64 line) const {
    Real sum = 0;
    for (i64 k = line * length; k < (line + 1) * length; ++k) sum += logarithm ? Real(gy[k]) : Real(gy[k]) * Real(y[k]);
    return sum;
  }
};

template <class Real>
struct SoftmaxGradientFormula {
  i64 length;
  bool logarithm;
  const float *y, *gy;
  const Real* dot;
  MICA_FUNCTION Real operator()(i64 i) const {
    const Real sum = dot[i / length];
    return logarithm ? Real(gy[i]) - std::exp(Real(y[i])) * sum : Real(y[i]) * (Real(gy[i]) - sum);
  }
};

// ---- cross-entropy: the mean of −log_softmax(x)[target] ----

template <class Real>
struct CrossEntropyFormula {
  i64 lines, length;
  const float* x;
  const i64* target;
  const Real *most, *sum;
  MICA_FUNCTION Real operator()(i64) const {
    Real loss = 0;
    for (i64 line = 0; line < lines; ++line) loss -= Real(x[line * length + target[line]]) - most[line] - std::log(sum[line]);
    return loss / Real(lines);
  }
};

template <class Real>
struct CrossEntropyGradientFormula {
  i64 lines, length;
  const float* x;
  const i64* target;
  const Real *most, *sum;
  MICA_FUNCTION Real operator()(i64 i) const {
    const i64 line = i / length;
    const Real probability = std::exp(Real(x[i]) - most[line]) / sum[line];
    return (probability - (i % length == target[line] ? Real(1) : Real(0))) / Real(lines);
  }
};

}  // namespace mica::bench
