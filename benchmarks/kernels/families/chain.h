// What a chain of convolutions (kernels/conv2d_chain.h) makes beside a convolution and a batch norm: rows×channels.
#pragma once

#include "../naive.h"

namespace mica::bench {

// by_g·g + by_x·(y − mean) + constant: the gradient of a batch norm's input. slopes: by_g, by_x, constant, of each channel.
template <class Real>
struct UndoneFormula {
  i64 channels;
  const float *g, *y, *mean, *slopes;
  MICA_FUNCTION Real operator()(i64 i) const {
    const i64 c = i % channels;
    return Real(slopes[c]) * Real(g[i]) + Real(slopes[channels + c]) * (Real(y[i]) - Real(mean[c])) + Real(slopes[2 * channels + c]);
  }
};

// g where x · scale + shift > 0.
template <class Real>
struct MaskedFormula {
  i64 channels;
  const float *x, *scale, *shift;
  const Real* g;
  MICA_FUNCTION Real operator()(i64 i) const {
    const i64 c = i % channels;
    return Real(x[i]) * Real(scale[c]) + Real(shift[c]) > 0 ? g[i] : Real(0);
  }
};

// The slopes of a batch norm from its parameters' gradients: s·w, −s·w·s·gw/rows, −s·w·gb/rows with s the inverse deviation.
template <class Real>
struct SlopeFormula {
  i64 rows, channels;
  const float *inverse, *w;
  const Real *gw, *gb;
  MICA_FUNCTION Real operator()(i64 i) const {
    const i64 c = i % channels;
    const Real scale = Real(inverse[c]) * Real(w[c]);
    if (i < channels) return scale;
    return -scale * (i < 2 * channels ? Real(inverse[c]) * gw[c] : gb[c]) / Real(rows);
  }
};

}  // namespace mica::bench
