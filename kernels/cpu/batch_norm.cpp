// f32: rows are cut into blocks of a fixed size, over threads; what is done to a block is batch_norm_blocks.h. The
// definition, which f64 runs, is batch_norm_reference.h.
#include <mica/kernels/batch_norm_channel.h>
#include <mica/kernels/cpu/batch_norm_reference.h>
#include <mica/kernels/cpu/parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#define MICA_KERNELS <mica/kernels/cpu/batch_norm_blocks.h>
#include <mica/kernels/cpu/each_instruction_set.h>

namespace mica::kernels {
namespace {

constexpr i64 block_rows = 128;  // short enough for sums in f32, long enough to be worth a call

i64 blocks_of(const BatchNormDims& d) { return (d.rows + block_rows - 1) / block_rows; }

// f(block, first row, rows) for every block, over threads.
template <class F>
void for_each_block(const Cpu& cpu, const BatchNormDims& d, const F& f) {
  const i64 grain = 1 + 16384 / (block_rows * d.channels + 1);
  parallel_for(cpu, blocks_of(d), grain, [&](i64 begin, i64 end) {
    for (i64 block = begin; block < end; ++block)
      f(block, block * block_rows, std::min(block_rows, d.rows - block * block_rows));
  });
}

void statistics(Cpu& cpu, const BatchNormDims& d, const float* x, float* mean, float* variance) {
  const i64 blocks = blocks_of(d);
  double* sums = cpu.scratch<double>(static_cast<std::size_t>((blocks + 1) * 2 * d.channels));  // blocks×2×channels, 2×channels
  for_each_block(cpu, d, [&](i64 block, i64 first, i64 rows) {
    MICA_CALL(moments, rows, d.channels, x + first * d.channels, sums + block * 2 * d.channels);
  });
  double count = 0, *average = sums + blocks * 2 * d.channels, *deviation = average + d.channels;  // Σ(x − average)²
  std::fill(average, average + 2 * d.channels, 0.0);
  for (i64 block = 0; block < blocks; ++block) {
    const double rows = static_cast<double>(std::min(block_rows, d.rows - block * block_rows)), together = count + rows;
    const double by_rows = 1 / rows, part = rows / together, spread = count * rows / together;
    const double* s = sums + block * 2 * d.channels;
    for (i64 c = 0; c < d.channels; ++c) {
      const double delta = static_cast<double>(x[block * block_rows * d.channels + c]) + s[c] * by_rows - average[c];
      average[c] += delta * part;
      deviation[c] += s[d.channels + c] - s[c] * s[c] * by_rows + delta * delta * spread;
    }
    count = together;
  }
  for (i64 c = 0; c < d.channels; ++c) {
    mean[c] = static_cast<float>(average[c]);
    variance[c] = static_cast<float>(deviation[c] < 0 ? 0.0 : deviation[c] / count);  // NaN passes
  }
}

void statistics(Cpu& cpu, const BatchNormDims& d, const double* x, double* mean, double* variance) {
  reference::batch_norm_statistics(cpu, d, x, mean, variance);
}

}  // namespace

template <class T>
void batch_norm_of_batch(Cpu& cpu, const BatchNormDims& d, const T* x, const BatchNormParameters<T>& parameters,
                         const RunningStatistics<T>& running, T* variance, const NewBatchNormFactors<T>& factors) {
  statistics(cpu, d, x, factors.mean, variance);
  if (running.batches) ++*running.batches;
  for (i64 c = 0; c < d.channels; ++c) {
    update_running(c, d.rows, factors.mean[c], variance[c], running);
    make_factors(c, factors.mean[c], variance[c], parameters, factors);
  }
}

template <class T>
void batch_norm_of_running(Cpu&, i64 channels, const T* mean, const T* variance, const BatchNormParameters<T>& parameters,
                           const NewBatchNormFactors<T>& factors) {
  for (i64 c = 0; c < channels; ++c) make_factors(c, mean[c], variance[c], parameters, factors);
}

template <>
void batch_norm_apply(Cpu& cpu, const BatchNormDims& d, const float* x, const float* scale, const float* shift, const Epilogue& epilogue, float* y) {
  for_each_block(cpu, d, [&](i64, i64 first, i64 rows) {
    const i64 begin = first * d.channels, end = begin + rows * d.channels;
    MICA_CALL(apply, rows, d.channels, x + begin, scale, shift, epilogue.relu, y + begin);
    if (epilogue.dropout.p > 0) dropout_range(epilogue.dropout, begin, end, y, y);
  });
}

template <>
void batch_norm_backward(Cpu& cpu, const BatchNormDims& d, const float* x, const float* y, const float* gy,
                         const BatchNormFactors<float>& by, const float* w, bool training, const Epilogue& epilogue, float* gx,
                         float* gw, float* gb) {
  const i64 channels = d.channels, blocks = blocks_of(d);
  double* sums = cpu.scratch<double>(static_cast<std::size_t>((blocks + 3) * 2 * channels));
  double *total = sums + blocks * 2 * channels, *product = total + channels;  // sums: blocks×2×channels
  float* factors = reinterpret_cast<float*>(product + channels);             // 3×channels
  const bool dropped = epilogue.dropout.p > 0;
  const float keep_scale = dropped ? static_cast<float>(epilogue.dropout.scale()) : 1.0F;
  for_each_block(cpu, d, [&](i64 block, i64 first, i64 rows) {
    const i64 at = first * channels;
    MICA_CALL(gradients, rows, channels, x + at, dropped ? y + at : nullptr, gy + at, by, epilogue.relu, keep_scale,
              sums + block * 2 * channels);
  });
  std::fill(total, total + 2 * channels, 0.0);
  for (i64 block = 0; block < blocks; ++block)
    for (i64 c = 0; c < 2 * channels; ++c) total[c] += sums[block * 2 * channels + c];
  for (i64 c = 0; c < channels; ++c) {
    const double s = static_cast<double>(by.inverse_std[c]), scale = s * static_cast<double>(w[c]);
    const double n = static_cast<double>(d.rows);
    gb[c] = static_cast<float>(total[c]);
    gw[c] = static_cast<float>(product[c] * s);
    factors[c] = static_cast<float>(scale);
    factors[channels + c] = static_cast<float>(training ? -scale * s * s * product[c] / n : 0);
    factors[2 * channels + c] = static_cast<float>(training ? -scale * total[c] / n : 0);
  }
  if (!gx) return;
  for_each_block(cpu, d, [&](i64, i64 first, i64 rows) {
    const i64 at = first * channels;
    MICA_CALL(input_gradient, rows, channels, x + at, dropped ? y + at : nullptr, gy + at, by, epilogue.relu, keep_scale, factors,
              training, gx + at);
  });
}

template <>
void batch_norm_apply(Cpu& cpu, const BatchNormDims& d, const double* x, const double* scale, const double* shift,
                      const Epilogue& epilogue, double* y) {
  reference::batch_norm_apply(cpu, d, x, scale, shift, epilogue, y);
}
template <>
void batch_norm_backward(Cpu& cpu, const BatchNormDims& d, const double* x, const double* y, const double* gy,
                         const BatchNormFactors<double>& by, const double* w, bool training, const Epilogue& epilogue, double* gx,
                         double* gw, double* gb) {
  reference::batch_norm_backward(cpu, d, x, y, gy, by, w, training, epilogue, gx, gw, gb);
}

#define MICA_FLOATING(T)                                                                                                   \
  template void batch_norm_of_batch(Cpu&, const BatchNormDims&, const T*, const BatchNormParameters<T>&,                   \
                                    const RunningStatistics<T>&, T*, const NewBatchNormFactors<T>&);                       \
  template void batch_norm_of_running(Cpu&, i64, const T*, const T*, const BatchNormParameters<T>&, const NewBatchNormFactors<T>&);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
