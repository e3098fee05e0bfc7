// Two sums down the pixels of a block, for the four channels of each lane: what a tensor-core convolution adds up as it stores. They go to
// sums[channel][2][blocks], as batch_norm_sums.h takes them.
#pragma once

#include <mica/kernels/cuda/conv2d_tensor.h>

namespace mica::kernels::conv2d_tensor {

inline constexpr int most_warps = 6;

// Shared memory for a block's warps: 2 sums of 16 channels each, and how many pixels they are of.
struct WarpSums {
  float a[most_warps][16], b[most_warps][16];
  int count[most_warps];
};

// Lanes 8q … 8q+7 have the same four channels.
template <class F>
MICA_DEVICE void over_lanes_of_quad(const F& f) {
#pragma unroll
  for (int step = 1; step < 8; step *= 2) f(step);
}

// Mean and Σ(v − mean)² of what was added, about the first value, so that a mean far from zero costs no precision. Pieces are joined by
// Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.
struct PixelMoments {
  float origin[4] = {}, total[4] = {}, square[4] = {};
  int count = 0;

  // first: may this be the lane's first live value?
  MICA_DEVICE void add(bool first, bool live, const Pack<float>& v) {
    if (first && live && count == 0)
#pragma unroll
      for (int c = 0; c < 4; ++c) origin[c] = v.at[c];
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      const float difference = live ? v.at[c] - origin[c] : 0;
      total[c] += difference;
      square[c] = math::multiply_add<true>(difference, difference, square[c]);
    }
    count += live;
  }

  // warps: those that took part, of which warp w worked on channels 16·(w % planes) …
  MICA_DEVICE void write(WarpSums& shared, int channels, int warps, int block, int blocks, double* sums) {
    float by_count = count > 0 ? 1.0F / static_cast<float>(count) : 0.0F;
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      const float off = total[c] * by_count;
      square[c] = math::multiply_add<true>(-total[c], off, square[c]);
      origin[c] += off;  // the mean
    }
    over_lanes_of_quad([&](int step) {
      const int other = __shfl_xor_sync(~0U, count, step), both = count + other;
      const float share = both > 0 ? static_cast<float>(other) / static_cast<float>(both) : 0.0F, weight = share * static_cast<float>(count);
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const float off = __shfl_xor_sync(~0U, origin[c], step) - origin[c], squares = __shfl_xor_sync(~0U, square[c], step);
        origin[c] = math::multiply_add<true>(off, share, origin[c]);
        square[c] = math::multiply_add<true>(off, off * weight, square[c] + squares);
      }
      count = both;
    });
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    if (warp < warps && lane % 8 == 0) {
#pragma unroll
      for (int c = 0; c < 4; ++c) shared.a[warp][lane / 2 + c] = origin[c], shared.b[warp][lane / 2 + c] = square[c];
      shared.count[warp] = count;
    }
    __syncthreads();
    for (int channel = static_cast<int>(threadIdx.x); channel < channels; channel += static_cast<int>(blockDim.x)) {
      double mean = 0, deviation = 0, n = 0;
#pragma unroll 1
      for (int w = channel / 16; w < warps; w += channels / 16) {
        const double more = shared.count[w];
        if (more == 0) continue;
        const double off = shared.a[w][channel % 16] - mean;
        n += more;
        mean += off * more / n;
        deviation += shared.b[w][channel % 16] + off * off * more * (n - more) / n;
      }
      sums[static_cast<std::size_t>(channel) * 2 * blocks + block] = mean;
      sums[(static_cast<std::size_t>(channel) * 2 + 1) * blocks + block] = deviation;
    }
  }
};

// Σ g and Σ g·(x − mean), of 16 channels.
struct PixelGradients {
  float total[4] = {}, product[4] = {};

  MICA_DEVICE void add(const Pack<float>& g, const Pack<float>& x, const Pack<float>& mean) {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      total[c] += g.at[c];
      product[c] = math::multiply_add<true>(g.at[c], x.at[c] - mean.at[c], product[c]);
    }
  }

  // By each warp that has some; after a barrier, write_gradient_sums.
  MICA_DEVICE void hold(WarpSums& shared) {
    over_lanes_of_quad([&](int step) {
#pragma unroll
      for (int c = 0; c < 4; ++c) total[c] += __shfl_xor_sync(~0U, total[c], step), product[c] += __shfl_xor_sync(~0U, product[c], step);
    });
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    if (lane % 8 == 0)
#pragma unroll
      for (int c = 0; c < 4; ++c) shared.a[warp][lane / 2 + c] = total[c], shared.b[warp][lane / 2 + c] = product[c];
  }
};

// warps: the first ones, which hold sums.
MICA_DEVICE void write_gradient_sums(const WarpSums& shared, int warps, int block, int blocks, double* sums) {
  const int channel = static_cast<int>(threadIdx.x);
  if (channel >= 16) return;
  double a = 0, b = 0;
#pragma unroll 1
  for (int w = 0; w < warps; ++w) a += shared.a[w][channel], b += shared.b[w][channel];
  sums[static_cast<std::size_t>(channel) * 2 * blocks + block] = a;
  sums[(static_cast<std::size_t>(channel) * 2 + 1) * blocks + block] = b;
}

}  // namespace mica::kernels::conv2d_tensor
