// Naive broadcasts: an rows×columns matrix with one value a row or a column.
#pragma once

#include "../naive.h"

namespace mica::bench {

template <class Real>
struct AddRowFormula {  // x + b, b: one value a column
  i64 columns;
  const float *x, *b;
  MICA_FUNCTION Real operator()(i64 i) const { return Real(x[i]) + Real(b[i % columns]); }
};

template <class Real>
struct MulColumnFormula {  // x · b, b: one value a row
  i64 columns;
  const float *x, *b;
  MICA_FUNCTION Real operator()(i64 i) const { return Real(x[i]) * Real(b[i / columns]); }
};

}  // namespace mica::bench
