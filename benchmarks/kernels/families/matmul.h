// Naive matrix product.
#pragma once

#include "../naive.h"

namespace mica::bench {

template <class Real>
struct MatmulFormula {  // c[m×n] = a[m×k] · op(b) + bias[n]; op(b) is b[k×n], or of b[n×k] the transpose
  i64 n, k;
  bool transpose_b;
  const float *a, *b, *bias;
  MICA_FUNCTION Real operator()(i64 i) const {
    const i64 row = i / n, column = i % n;
    Real sum = bias ? Real(bias[column]) : Real(0);
    for (i64 j = 0; j < k; ++j) sum += Real(a[row * k + j]) * Real(transpose_b ? b[column * k + j] : b[j * n + column]);
    return sum;
  }
};

}  // namespace mica::bench
