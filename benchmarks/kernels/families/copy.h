// Naive copies.
#pragma once

#include "../naive.h"

namespace mica::bench {

template <class Real>
struct CopyFormula {
  const float* x;
  MICA_FUNCTION Real operator()(i64 i) const { return Real(x[i]); }
};

template <class Real>
struct TransposeFormula {  // y: columns×rows
  i64 rows, columns;
  const float* x;
  MICA_FUNCTION Real operator()(i64 i) const { return Real(x[i % rows * columns + i / rows]); }
};

template <class Real>
struct ToChannelsLastFormula {  // x: n×c×pixels, y: n×pixels×c
  i64 channels, pixels;
  const float* x;
  MICA_FUNCTION Real operator()(i64 i) const {
    const i64 c = i % channels, pixel = i / channels % pixels, n = i / channels / pixels;
    return Real(x[(n * channels + c) * pixels + pixel]);
  }
};

template <class Real>
struct BytesFormula {
  const std::uint8_t* x;
  MICA_FUNCTION Real operator()(i64 i) const { return Real(x[i]); }
};

}  // namespace mica::bench
