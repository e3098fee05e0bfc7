// Naive convolutions: each output by itself, images N,H,W,C, filters O,H,W,I, one group. In: of images and gradients, which another
// formula may have made.
#pragma once

#include "../naive.h"

namespace mica::bench {

// Without padding or dilation, strides of 1: what the networks use.
struct ConvSizes {
  int n, c, h, w, o, k;  // k×k filters
  MICA_FUNCTION int oh() const { return h - k + 1; }
  MICA_FUNCTION int ow() const { return w - k + 1; }
};

template <class Real, class In = float>
struct ConvFormula {
  ConvSizes d;
  const In* x;
  const float *w, *bias;
  MICA_FUNCTION Real operator()(i64 i) const {
    const auto [n, row, column, o] = Position(i, d.oh(), d.ow(), d.o);
    Real sum = Real(bias[o]);
    for (int u = 0; u < d.k; ++u)
      for (int v = 0; v < d.k; ++v) {
        const In* pixel = x + ((n * d.h + row + u) * d.w + column + v) * d.c;
        const float* tap = w + ((o * d.k + u) * d.k + v) * d.c;
        for (int c = 0; c < d.c; ++c) sum += Real(pixel[c]) * Real(tap[c]);
      }
    return sum;
  }
};

template <class Real, class In = float>
struct ConvDataGradientFormula {
  ConvSizes d;
  const In* gy;
  const float* w;
  MICA_FUNCTION Real operator()(i64 i) const {
    const auto [n, row, column, c] = Position(i, d.h, d.w, d.c);
    Real sum = 0;
    for (int u = 0; u < d.k; ++u)
      for (int v = 0; v < d.k; ++v) {
        const int r = row - u, s = column - v;
        if (r < 0 || s < 0 || r >= d.oh() || s >= d.ow()) continue;
        const In* gradient = gy + ((n * d.oh() + r) * d.ow() + s) * d.o;
        for (int o = 0; o < d.o; ++o) sum += Real(gradient[o]) * Real(w[((o * d.k + u) * d.k + v) * d.c + c]);
      }
    return sum;
  }
};

template <class Real, class In = float>
struct ConvWeightGradientFormula {
  ConvSizes d;
  const In *x, *gy;
  MICA_FUNCTION Real operator()(i64 i) const {
    const int index = static_cast<int>(i), c = index % d.c, v = index / d.c % d.k, u = index / d.c / d.k % d.k, o = index / d.c / d.k / d.k;
    Real sum = 0;
    for (int n = 0; n < d.n; ++n)
      for (int row = 0; row < d.oh(); ++row)
        for (int column = 0; column < d.ow(); ++column)
          sum += Real(x[((n * d.h + row + u) * d.w + column + v) * d.c + c]) * Real(gy[((n * d.oh() + row) * d.ow() + column) * d.o + o]);
    return sum;
  }
};

}  // namespace mica::bench
