// What the tiled f32 convolutions share: copying a block's piece of an image from device memory into shared memory, zeros
// around it, and storing a thread's 4 pixels × 4 channels.
#pragma once

#include <mica/kernels/cuda/launch.h>
#include <mica/kernels/cuda/pack.h>
#include <mica/kernels/cuda/strided.h>

namespace mica::kernels::conv2d_tiles {

// Images N,H,W,C as kernels see them.
struct Images {
  const float* data;
  int h, w, c;
  bool packed;  // channels of a pixel can be read four at once
};

inline Images images(const float* data, i64 h, i64 w, i64 c) {
  return {data, static_cast<int>(h), static_cast<int>(w), static_cast<int>(c), all_aligned(data) && c % 4 == 0};
}

// A convolution's result N,H,W,C. bias may be null.
struct Results {
  float* data;
  const float* bias;
  int h, w, c;
  bool packed;
};

inline Results results(float* data, const float* bias, i64 h, i64 w, i64 c) {
  return {data, bias, static_cast<int>(h), static_cast<int>(w), static_cast<int>(c), all_aligned(data) && c % 4 == 0};
}

inline constexpr int each = 4;  // pixels, and channels, of a thread

// total: of the pixels (row, column0 …) and channels from channel0 on, as far as there are such.
MICA_DEVICE void store_pixels(const Results& to, int image, int row, int column0, int channel0, const float (&total)[each][each]) {
  if (row >= to.h || channel0 >= to.c) return;
  Pack<float> bias{};
  for (int o = 0; o < each; ++o)
    if (to.bias && channel0 + o < to.c) bias.at[o] = to.bias[channel0 + o];
  for (int pixel = 0; pixel < each; ++pixel) {
    if (column0 + pixel >= to.w) return;
    float* at = to.data + ((static_cast<i64>(image) * to.h + row) * to.w + column0 + pixel) * to.c + channel0;
    Pack<float> sums;
    for (int o = 0; o < each; ++o) sums.at[o] = total[pixel][o] + bias.at[o];
    if (to.packed) store_pack(at, sums);
    else
      for (int o = 0; o < each; ++o)
        if (channel0 + o < to.c) at[o] = sums.at[o];
  }
}

// The piece with `rows` rows and `columns` columns whose first pixel is (row0, column0), which may be outside, and channels
// channel0 … channel0 + 4·packs: tile[row·pitch + column·4·packs + channel]. `by_packs` divides by packs. Each warp copies rows.
MICA_DEVICE void copy_piece(const Images& from, int image, int row0, int column0, int channel0, int rows, int columns, const Divider& by_packs,
                            int pitch, float* tile) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32, warps = static_cast<int>(blockDim.x) / 32;
  const int packs = static_cast<int>(by_packs.divisor);
  for (int row = warp; row < rows; row += warps) {
    const int h = row0 + row;
    const bool in_height = h >= 0 && h < from.h;
    const float* line = from.data + (static_cast<i64>(image) * from.h + h) * from.w * from.c;
    for (int at = lane; at < columns * packs; at += 32) {
      const int column = static_cast<int>(by_packs.divide(static_cast<unsigned>(at))), w = column0 + column;
      const int channel = channel0 + (at - column * packs) * 4;
      Pack<float> pack{};
      if (in_height && w >= 0 && w < from.w) {
        const float* pixel = line + static_cast<i64>(w) * from.c;
        if (from.packed && channel < from.c) pack = load_pack(pixel + channel);
        else
          for (int k = 0; k < 4; ++k) pack.at[k] = channel + k < from.c ? pixel[channel + k] : 0.0F;
      }
      store_pack(tile + row * pitch + at * 4, pack);
    }
  }
}

// The least number ≥ floats with which rows or columns apart by it lie `rest` banks of shared memory apart: there are 32.
inline int pitch_for(int floats, int rest) { return (floats - rest + 31) / 32 * 32 + rest; }

}  // namespace mica::kernels::conv2d_tiles
