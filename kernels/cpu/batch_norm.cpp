// f32: rows are cut into blocks of a fixed size; within a block, channels go in tiles that fit vector registers. The
// definition, which f64 runs, is batch_norm_reference.h.
#include <mica/kernels/cpu/batch_norm_reference.h>
#include <mica/kernels/cpu/parallel.h>

#include <cmath>
#include <limits>
#include <type_traits>

namespace mica::kernels {
namespace {

constexpr i64 block_rows = 128;  // short enough for sums in f32, long enough to be worth a call

i64 blocks_of(const BatchNormDims& d) { return (d.rows + block_rows - 1) / block_rows; }

// f(std::integral_constant<int, W>, first channel) over tiles of 16, then 8, then 1 channels.
template <class F>
MICA_INLINE void for_each_tile(i64 channels, const F& f) {
  i64 c = 0;
  for (; c + 16 <= channels; c += 16) f(std::integral_constant<int, 16>(), c);
  for (; c + 8 <= channels; c += 8) f(std::integral_constant<int, 8>(), c);
  for (; c < channels; ++c) f(std::integral_constant<int, 1>(), c);
}

// sums[2×channels]: Σ(x − x₀) and Σ(x − x₀)² over `rows` rows from x, x₀ their first.
template <class T>
MICA_INLINE void block_moments(i64 rows, i64 channels, const T* x, double* sums) {
  for_each_tile(channels, [=](auto width, i64 c) __attribute__((always_inline)) {
    constexpr int W = width;
    T first[W], total[W] = {}, square[W] = {};
    for (int k = 0; k < W; ++k) first[k] = x[c + k];
    for (i64 row = 0; row < rows; ++row)
      for (int k = 0; k < W; ++k) {
        const T difference = x[row * channels + c + k] - first[k];
        total[k] += difference;
        square[k] += difference * difference;
      }
    for (int k = 0; k < W; ++k) {
      sums[c + k] = static_cast<double>(total[k]);
      sums[channels + c + k] = static_cast<double>(square[k]);
    }
  });
}

template <class T>
MICA_INLINE void block_apply(i64 rows, i64 channels, const T* x, const T* scale, const T* shift, bool relu, T* y) {
  for_each_tile(channels, [=](auto width, i64 c) __attribute__((always_inline)) {
    constexpr int W = width;
    T a[W], b[W];
    const T low = relu ? T(0) : -std::numeric_limits<T>::infinity();
    for (int k = 0; k < W; ++k) a[k] = scale[c + k], b[k] = shift[c + k];
    for (i64 row = 0; row < rows; ++row)
      for (int k = 0; k < W; ++k) {
        const T z = x[row * channels + c + k] * a[k] + b[k];
        y[row * channels + c + k] = z < low ? low : z;  // NaN passes
      }
  });
}

// The gradient that reaches z: gy where the unit was active, times dropout's scale.
template <class T>
MICA_INLINE T masked(bool relu, T keep_scale, T y, T gy) {
  return relu && y <= T(0) ? T(0) : keep_scale * gy;
}

// sums[2×channels]: Σ g and Σ g·(x − mean).
template <class T>
MICA_INLINE void block_gradients(i64 rows, i64 channels, const T* x, const T* y, const T* gy, const T* mean, bool relu,
                                 T keep_scale, double* sums) {
  for_each_tile(channels, [=](auto width, i64 c) __attribute__((always_inline)) {
    constexpr int W = width;
    T center[W], total[W] = {}, product[W] = {};
    for (int k = 0; k < W; ++k) center[k] = mean[c + k];
    for (i64 row = 0; row < rows; ++row)
      for (int k = 0; k < W; ++k) {
        const i64 at = row * channels + c + k;
        const T g = masked(relu, keep_scale, y[at], gy[at]);
        total[k] += g;
        product[k] += g * (x[at] - center[k]);
      }
    for (int k = 0; k < W; ++k) {
      sums[c + k] = static_cast<double>(total[k]);
      sums[channels + c + k] = static_cast<double>(product[k]);
    }
  });
}

// gx = by_g·g + by_x·(x − mean) + constant, each by channel: factors[3×channels].
template <class T>
MICA_INLINE void block_input_gradient(i64 rows, i64 channels, const T* x, const T* y, const T* gy, const T* mean,
                                      const T* factors, bool relu, T keep_scale, T* gx) {
  for_each_tile(channels, [=](auto width, i64 c) __attribute__((always_inline)) {
    constexpr int W = width;
    T center[W], by_g[W], by_x[W], constant[W];
    for (int k = 0; k < W; ++k) {
      center[k] = mean[c + k];
      by_g[k] = factors[c + k], by_x[k] = factors[channels + c + k], constant[k] = factors[2 * channels + c + k];
    }
    for (i64 row = 0; row < rows; ++row)
      for (int k = 0; k < W; ++k) {
        const i64 at = row * channels + c + k;
        gx[at] = by_g[k] * masked(relu, keep_scale, y[at], gy[at]) + by_x[k] * (x[at] - center[k]) + constant[k];
      }
  });
}

MICA_HOT void moments(i64 rows, i64 channels, const float* x, double* sums) { block_moments(rows, channels, x, sums); }
MICA_HOT void apply(i64 rows, i64 channels, const float* x, const float* scale, const float* shift, bool relu, float* y) {
  block_apply(rows, channels, x, scale, shift, relu, y);
}
MICA_HOT void gradients(i64 rows, i64 channels, const float* x, const float* y, const float* gy, const float* mean, bool relu,
                        float keep_scale, double* sums) {
  block_gradients(rows, channels, x, y, gy, mean, relu, keep_scale, sums);
}
MICA_HOT void input_gradient(i64 rows, i64 channels, const float* x, const float* y, const float* gy, const float* mean,
                             const float* factors, bool relu, float keep_scale, float* gx) {
  block_input_gradient(rows, channels, x, y, gy, mean, factors, relu, keep_scale, gx);
}

// f(block, first row, rows) for every block, over threads.
template <class F>
void for_each_block(const Cpu& cpu, const BatchNormDims& d, const F& f) {
  const i64 grain = 1 + 16384 / (block_rows * d.channels + 1);
  parallel_for(cpu, blocks_of(d), grain, [&](i64 begin, i64 end) {
    for (i64 block = begin; block < end; ++block)
      f(block, block * block_rows, std::min(block_rows, d.rows - block * block_rows));
  });
}

}  // namespace

template <>
void batch_norm_statistics(Cpu& cpu, const BatchNormDims& d, const float* x, float* mean, float* variance) {
  double* sums = cpu.scratch<double>(static_cast<std::size_t>(blocks_of(d) * 2 * d.channels));  // blocks×2×channels
  for_each_block(cpu, d, [&](i64 block, i64 first, i64 rows) {
    moments(rows, d.channels, x + first * d.channels, sums + block * 2 * d.channels);
  });
  for (i64 c = 0; c < d.channels; ++c) {
    double count = 0, average = 0, deviation = 0;  // deviation: Σ(x − average)²
    for (i64 block = 0; block < blocks_of(d); ++block) {
      const double rows = static_cast<double>(std::min(block_rows, d.rows - block * block_rows));
      const double* s = sums + block * 2 * d.channels;
      const double block_mean = static_cast<double>(x[block * block_rows * d.channels + c]) + s[c] / rows;
      const double block_deviation = s[d.channels + c] - s[c] * s[c] / rows;
      const double delta = block_mean - average, together = count + rows;
      average += delta * rows / together;
      deviation += block_deviation + delta * delta * count * rows / together;
      count = together;
    }
    mean[c] = static_cast<float>(average);
    variance[c] = static_cast<float>(std::max(0.0, deviation) / count);
    if (std::isnan(deviation)) variance[c] = std::numeric_limits<float>::quiet_NaN();
  }
}

template <>
void batch_norm_apply(Cpu& cpu, const BatchNormDims& d, const float* x, const float* scale, const float* shift, const Epilogue& epilogue, float* y) {
  for_each_block(cpu, d, [&](i64, i64 first, i64 rows) {
    const i64 begin = first * d.channels, end = begin + rows * d.channels;
    apply(rows, d.channels, x + begin, scale, shift, epilogue.relu, y + begin);
    if (epilogue.dropout.p > 0) dropout_range(epilogue.dropout, begin, end, y, y);
  });
}

template <>
void batch_norm_backward(Cpu& cpu, const BatchNormDims& d, const float* x, const float* y, const float* gy, const float* mean,
                         const float* inverse_std, const float* w, bool training, const Epilogue& epilogue, float* gx, float* gw, float* gb) {
  const std::size_t channels = static_cast<std::size_t>(d.channels), blocks = static_cast<std::size_t>(blocks_of(d));
  double* sums = cpu.scratch<double>(blocks * 2 * channels + 3 * channels);  // blocks×2×channels, then the factors
  float* factors = reinterpret_cast<float*>(sums + blocks * 2 * channels);           // 3×channels
  const float keep_scale = epilogue.dropout.p > 0 ? static_cast<float>(epilogue.dropout.scale()) : float(1);
  const float* activity = epilogue.relu ? y : gy;  // any readable array where it does not matter
  for_each_block(cpu, d, [&](i64 block, i64 first, i64 rows) {
    const i64 at = first * d.channels;
    gradients(rows, d.channels, x + at, activity + at, gy + at, mean, epilogue.relu, keep_scale, sums + block * 2 * d.channels);
  });
  for (std::size_t c = 0; c < channels; ++c) {
    double total = 0, product = 0;
    for (std::size_t block = 0; block < blocks; ++block) {
      total += sums[block * 2 * channels + c];
      product += sums[block * 2 * channels + channels + c];
    }
    const double s = static_cast<double>(inverse_std[c]), scale = s * static_cast<double>(w[c]);
    const double n = static_cast<double>(d.rows);
    gb[c] = static_cast<float>(total);
    gw[c] = static_cast<float>(product * s);
    factors[c] = static_cast<float>(scale);
    factors[channels + c] = static_cast<float>(training ? -scale * s * s * product / n : 0);
    factors[2 * channels + c] = static_cast<float>(training ? -scale * total / n : 0);
  }
  if (!gx) return;
  for_each_block(cpu, d, [&](i64, i64 first, i64 rows) {
    const i64 at = first * d.channels;
    input_gradient(rows, d.channels, x + at, activity + at, gy + at, mean, factors, epilogue.relu, keep_scale, gx + at);
  });
}

template <>
void batch_norm_statistics(Cpu& cpu, const BatchNormDims& d, const double* x, double* mean, double* variance) {
  reference::batch_norm_statistics(cpu, d, x, mean, variance);
}
template <>
void batch_norm_apply(Cpu& cpu, const BatchNormDims& d, const double* x, const double* scale, const double* shift,
                      const Epilogue& epilogue, double* y) {
  reference::batch_norm_apply(cpu, d, x, scale, shift, epilogue, y);
}
template <>
void batch_norm_backward(Cpu& cpu, const BatchNormDims& d, const double* x, const double* y, const double* gy, const double* mean,
                         const double* inverse_std, const double* w, bool training, const Epilogue& epilogue, double* gx, double* gw,
                         double* gb) {
  reference::batch_norm_backward(cpu, d, x, y, gy, mean, inverse_std, w, training, epilogue, gx, gw, gb);
}

}  // namespace mica::kernels
