// The definition of batch normalisation: plain loops, channel by channel. f64 runs them; f32 is tested against them.
#pragma once

#include <mica/kernels/batch_norm.h>
#include <mica/kernels/cpu/parallel.h>

#include <cmath>

namespace mica::kernels::reference {

template <class T>
void batch_norm_statistics(Cpu& cpu, const BatchNormDims& d, const T* x, T* mean, T* variance) {
  const T n = static_cast<T>(d.rows);
  parallel_for(cpu, d.channels, 1, [&](i64 begin, i64 end) {
    for (i64 c = begin; c < end; ++c) {
      T total = 0, square = 0;
      for (i64 row = 0; row < d.rows; ++row) total += x[row * d.channels + c];
      mean[c] = total / n;
      for (i64 row = 0; row < d.rows; ++row) square += (x[row * d.channels + c] - mean[c]) * (x[row * d.channels + c] - mean[c]);
      variance[c] = square / n;
    }
  });
}

template <class T>
void batch_norm_apply(Cpu& cpu, const BatchNormDims& d, const T* x, const T* scale, const T* shift, const Epilogue& epilogue, T* y) {
  parallel_for(cpu, d.rows, 64, [&](i64 begin, i64 end) {
    for (i64 i = begin * d.channels; i < end * d.channels; ++i) {
      const T z = x[i] * scale[i % d.channels] + shift[i % d.channels];
      y[i] = epilogue.relu && z < T(0) ? T(0) : z;
    }
    if (epilogue.dropout.p > 0) dropout_range(epilogue.dropout, begin * d.channels, end * d.channels, y, y);
  });
}

template <class T>
void batch_norm_backward(Cpu& cpu, const BatchNormDims& d, const T* x, const T* y, const T* gy, const BatchNormFactors<T>& factors,
                         const T* w, bool training, const Epilogue& epilogue, T* gx, T* gw, T* gb) {
  const auto& [mean, inverse_std, scale, shift] = factors;
  const T n = static_cast<T>(d.rows), keep_scale = epilogue.dropout.p > 0 ? static_cast<T>(epilogue.dropout.scale()) : T(1);
  parallel_for(cpu, d.channels, 1, [&, mean = mean, inverse_std = inverse_std, scale = scale, shift = shift](i64 begin, i64 end) {
    for (i64 c = begin; c < end; ++c) {
      const auto output = [&](i64 i) { return epilogue.dropout.p > 0 ? y[i] : x[i] * scale[c] + shift[c]; };
      const auto g = [&](i64 i) { return epilogue.relu && output(i) <= T(0) ? T(0) : keep_scale * gy[i]; };
      const auto normalized = [&](i64 i) { return (x[i] - mean[c]) * inverse_std[c]; };  // x̂
      gw[c] = gb[c] = 0;
      for (i64 i = c; i < d.rows * d.channels; i += d.channels) {
        gb[c] += g(i);
        gw[c] += g(i) * normalized(i);
      }
      for (i64 i = c; gx && i < d.rows * d.channels; i += d.channels) {
        const T centered = training ? g(i) - gb[c] / n - normalized(i) * gw[c] / n : g(i);
        gx[i] = w[c] * inverse_std[c] * centered;
      }
    }
  });
}

}  // namespace mica::kernels::reference
