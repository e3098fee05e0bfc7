// How the tensor-core convolutions fill their tiles: every value is transformed and rounded once, on its way into shared memory.
#pragma once

#include <mica/kernels/conv2d_chain.h>
#include <mica/kernels/cuda/conv2d_tensor.h>

#include <cstddef>

namespace mica::kernels::conv2d_tensor {

MICA_DEVICE float relu(float x) {  // NaN stays
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  float y;
  asm("max.NaN.f32 %0, %1, 0f00000000;" : "=f"(y) : "f"(x));
  return y;
#else
  return x < 0 ? 0 : x;
#endif
}

// Sizes as kernels see them.
struct Sizes {
  int h, w, oh, ow, padding;
  explicit Sizes(const Conv2dDims& d)
      : h(static_cast<int>(d.h)),
        w(static_cast<int>(d.w)),
        oh(static_cast<int>(d.oh)),
        ow(static_cast<int>(d.ow)),
        padding(static_cast<int>(d.padding[0])) {}
};

// dropout(relu(x · scale + shift)), or x.
struct LoadedInput {
  const float *x, *scale, *shift;  // scale null: x itself
  bool dropped;
  RandomKey key;
  std::uint64_t threshold;
  float keep_scale;

  explicit LoadedInput(const ChainInput& in)
      : x(in.x),
        scale(in.by.scale),
        shift(in.by.shift),
        dropped(in.dropout.p > 0),
        key(in.dropout.key),
        threshold(in.dropout.threshold()),
        keep_scale(static_cast<float>(in.dropout.scale())) {}
};

// Of channels 4q … 4q+3.
struct OnLoad {
  Pack<float> scale{}, shift{};
  RandomKey key;

  MICA_DEVICE OnLoad(const LoadedInput& in, int q) : key(in.key.in_kernel()) {
    if (in.scale) scale = load_pack(in.scale + 4 * q), shift = load_pack(in.shift + 4 * q);
  }
  // block: the number of these four elements, which is that of their random numbers.
  template <Precision precision>
  MICA_DEVICE Pack<float> operator()(const LoadedInput& in, Pack<float> v, unsigned block) const {
    if (in.scale) {
#pragma unroll
      for (int k = 0; k < 4; ++k) v.at[k] = relu(math::multiply_add<true>(v.at[k], scale.at[k], shift.at[k]));
      if (in.dropped) {
        const RandomBlock bits = philox(key, block);
#pragma unroll
        for (int k = 0; k < 4; ++k) v.at[k] = bits[k] >= in.threshold ? in.keep_scale * v.at[k] : 0.0F;
      }
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) v.at[k] = rounded<precision>(v.at[k]);
    return v;
  }
};

// Rows row0 … of an image's x̃, with zeros outside and `padding` columns of them before the first, into one plane of `rows` rows. A warp
// takes whole rows, two at a time: no division, and eight reads of 16 bytes under way in each thread.
template <Precision precision>
MICA_DEVICE void load_input(float* tile, const LoadedInput& in, const Sizes& s, int image, int row0, int rows) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32, warps = static_cast<int>(blockDim.x) / 32,
            q = lane % 4;
  const OnLoad on_load(in, q);
  int to[2] = {quad_at(lane / 4, q), quad_at(lane / 4 + 8, q)};  // 16 pixels on the pattern is the same again
  keep(to[0]), keep(to[1]);
  const int first_column = lane / 4 - s.padding;
  for (int first = warp; first < rows; first += 2 * warps) {
    Pack<float> v[2][4];
    unsigned block[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = row0 + first + r * warps;
      block[r] = static_cast<unsigned>((image * s.h + row) * s.w * 4 + lane - 4 * s.padding);
#pragma unroll
      for (int k = 0; k < 4; ++k)
        if (static_cast<unsigned>(row) < static_cast<unsigned>(s.h) &&
            static_cast<unsigned>(first_column + 8 * k) < static_cast<unsigned>(s.w))
          v[r][k] = load_pack(in.x + 4 * static_cast<std::size_t>(block[r] + 32 * k));
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      if (first + r * warps >= rows) break;
      const int row = row0 + first + r * warps;
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const bool inside = static_cast<unsigned>(row) < static_cast<unsigned>(s.h) &&
                            static_cast<unsigned>(first_column + 8 * k) < static_cast<unsigned>(s.w);
        Pack<float> value{};
        if (inside) value = on_load.template operator()<precision>(in, v[r][k], block[r] + 32 * k);
        store_pack(tile + to[k % 2] + k / 2 * 16 * plane_channels + (first + r * warps) * row_floats, value);
      }
    }
  }
}

}  // namespace mica::kernels::conv2d_tensor
