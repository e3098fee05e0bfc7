// What the sums of a batch norm's channels give: statistics and factors forward, gradients of parameters and slopes backward. The sums
// come from blocks of rows, as sums[channel][2][blocks]; Blocks says how they divide the rows:
//   rows, channels, blocks, and rows_of(block)
// A warp works on each channel, and blocks are added in a fixed order.
#pragma once

#include <mica/kernels/batch_norm_channel.h>
#include <mica/kernels/cuda/block_reduce.h>
#include <mica/kernels/cuda/launch.h>

namespace mica::kernels {

inline constexpr int channels_of_block = threads_per_block / warp_size;

inline LaunchShape warp_each(i64 channels) { return {dim3(static_cast<unsigned>(ceil_div(channels, channels_of_block))), dim3(threads_per_block)}; }
MICA_DEVICE unsigned channel_of_warp() { return blockIdx.x * channels_of_block + threadIdx.x / warp_size; }

// f(block) summed over all blocks, known to the whole warp.
template <class F>
MICA_DEVICE double over_blocks(unsigned blocks, const F& f) {
  double sum = 0;
  for (unsigned block = threadIdx.x % warp_size; block < blocks; block += warp_size) sum += f(block);
  return warp_reduce(sum, Plus());
}

// From each block's mean and Σ(x − mean)². Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
// Variances", 1979, for all blocks at once: mean = Σ rows_b·mean_b / rows, deviation = Σ deviation_b + rows_b·(mean_b − mean)².
template <class T, class Blocks>
__global__ void learn_kernel(Blocks all, const double* sums, BatchNormParameters<T> parameters, RunningStatistics<T> running, T* variance,
                             NewBatchNormFactors<T> factors) {
  const unsigned c = channel_of_warp(), blocks = all.blocks;
  if (c >= all.channels) return;
  const double *means = sums + static_cast<i64>(c) * 2 * blocks, *deviations = means + blocks;
  const double origin = means[0], rows = all.rows;  // equal values have exactly this mean
  const double mean = origin + over_blocks(blocks, [=](unsigned b) { return all.rows_of(b) * (means[b] - origin); }) / rows;
  const double deviation = over_blocks(blocks, [=](unsigned b) {
    const double off = means[b] - mean;
    return deviations[b] + all.rows_of(b) * off * off;
  });
  if (threadIdx.x % warp_size > 0) return;
  const T rounded_mean = static_cast<T>(mean);
  variance[c] = static_cast<T>(deviation < 0 ? 0.0 : deviation / rows);  // NaN passes
  update_running(c, all.rows, rounded_mean, variance[c], running);
  make_factors(c, rounded_mean, variance[c], parameters, factors);
}

// From each block's Σ g and Σ g·(x − mean): gw, gb, of gx = by_g·g + by_x·(x − mean) + constant the factors, slopes[3×channels], and Σ gx,
// the gradient of a bias before; that may be null.
template <class T, class Blocks>
__global__ void parameter_gradient_kernel(Blocks all, const double* sums, const T* inverse_std, const T* w, bool training, T* gw, T* gb, T* slopes, T* before) {
  const unsigned c = channel_of_warp(), blocks = all.blocks;
  if (c >= all.channels) return;
  const double *totals = sums + static_cast<i64>(c) * 2 * blocks, *products = totals + blocks;
  const double total = over_blocks(blocks, [=](unsigned b) { return totals[b]; });
  const double product = over_blocks(blocks, [=](unsigned b) { return products[b]; });
  if (threadIdx.x % warp_size > 0) return;
  const double s = static_cast<double>(inverse_std[c]), scale = s * static_cast<double>(w[c]), n = all.rows;
  gb[c] = static_cast<T>(total);
  gw[c] = static_cast<T>(product * s);
  slopes[c] = static_cast<T>(scale);
  slopes[all.channels + c] = static_cast<T>(training ? -scale * s * s * product / n : 0);
  slopes[2 * all.channels + c] = static_cast<T>(training ? -scale * total / n : 0);
  if (before) before[c] = static_cast<T>(training ? 0 : scale * total);
}

}  // namespace mica::kernels
