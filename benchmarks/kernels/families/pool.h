// Naive pooling of images N,H,W,C by windows side by side: k×k with a stride of k.
#pragma once

#include "../naive.h"

namespace mica::bench {

struct PoolSizes {
  int n, c, h, w, k;
  MICA_FUNCTION int oh() const { return h / k; }
  MICA_FUNCTION int ow() const { return w / k; }
  MICA_FUNCTION i64 in(int image, int row, int column, int channel) const { return ((i64{image} * h + row) * w + column) * c + channel; }
  MICA_FUNCTION i64 out(int image, int row, int column, int channel) const {
    return ((i64{image} * oh() + row) * ow() + column) * c + channel;
  }
};

template <class Real>
struct MaxPoolFormula {
  PoolSizes d;
  const float* x;
  MICA_FUNCTION Real operator()(i64 i) const {
    const auto [n, row, column, c] = Position(i, d.oh(), d.ow(), d.c);
    float most = x[d.in(n, row * d.k, column * d.k, c)];
    for (int u = 0; u < d.k; ++u)
      for (int v = 0; v < d.k; ++v) {
        const float value = x[d.in(n, row * d.k + u, column * d.k + v, c)];
        most = value > most ? value : most;
      }
    return Real(most);
  }
};

template <class Real>
struct AveragePoolFormula {
  PoolSizes d;
  const float* x;
  MICA_FUNCTION Real operator()(i64 i) const {
    const auto [n, row, column, c] = Position(i, d.oh(), d.ow(), d.c);
    Real sum = 0;
    for (int u = 0; u < d.k; ++u)
      for (int v = 0; v < d.k; ++v) sum += Real(x[d.in(n, row * d.k + u, column * d.k + v, c)]);
    return sum / Real(d.k * d.k);
  }
};

// The first maximum of a window, in row order, gets its gradient.
template <class Real>
struct MaxPoolGradientFormula {
  PoolSizes d;
  const float *x, *gy;
  MICA_FUNCTION Real operator()(i64 i) const {
    const auto [n, row, column, c] = Position(i, d.h, d.w, d.c);
    const int r = row / d.k, s = column / d.k;
    i64 winner = d.in(n, r * d.k, s * d.k, c);
    for (int u = 0; u < d.k; ++u)
      for (int v = 0; v < d.k; ++v) {
        const i64 at = d.in(n, r * d.k + u, s * d.k + v, c);
        winner = x[at] > x[winner] ? at : winner;
      }
    return winner == i ? Real(gy[d.out(n, r, s, c)]) : Real(0);
  }
};

template <class Real>
struct AveragePoolGradientFormula {
  PoolSizes d;
  const float* gy;
  MICA_FUNCTION Real operator()(i64 i) const {
    const auto [n, row, column, c] = Position(i, d.h, d.w, d.c);
    return Real(gy[d.out(n, row / d.k, column / d.k, c)]) / Real(d.k * d.k);
  }
};

}  // namespace mica::bench
