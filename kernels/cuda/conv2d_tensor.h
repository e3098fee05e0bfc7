// What the tensor-core convolutions share: 3×3 filters, stride 1, 16 channels to 16 or 32, as products
//   D[output channel, pixel] += filters[output channel, K] · image[K, pixel]      K = 9 taps × 16 channels
// for forward, and for the data gradient with the filters turned round and their channels exchanged.
//
//  1. Pixels are the columns (B), channels the rows (A). B takes k = t and k = t + 4 of one pixel in two registers, so a 16-byte read of
//     channels 4t … 4t+3 is two fragments: step j of a tap takes components 2j and 2j+1, since the order of K is free.
//  2. So is the order of M: row g stands for channel 2g, row g+8 for 2g+1. Two exchanges between neighbouring g then give every lane
//     four channels of one pixel, which it stores by 16 bytes.
//  3. A warp owns 16 columns of pixels and marches down `rows` rows: a row of the image, read once, serves three rows of the result.
//     Lanes of group g have columns 2g and 2g+1, so that three taps of both are four reads. The filters stay in registers.
#pragma once

#include <mica/kernels/cuda/launch.h>
#include <mica/kernels/cuda/tensor_core.h>

namespace mica::kernels::conv2d_tensor {

inline constexpr int plane_channels = 16;                     // of a tile: one plane for each 16 channels
inline constexpr int pitch = 32;                              // pixels in a row of a tile; a multiple of 16 keeps quad_at's pattern
inline constexpr int row_floats = pitch * plane_channels;
inline constexpr int filter_floats = 9 * 16 * 16;             // of 16×16 channels
inline constexpr int strips = 2;                              // of `rows` rows each, in a block, one below the other
inline constexpr int columns_of_warp = 16;

// Where channels 4q … 4q+3 of a row's pixel p lie in a tile, in floats, and channels 2g, 2g+1. A pixel fills half the banks, and the
// parity of bits 0 and 1 of p says which half: whole pixels p, p+1 (loading) and p, p+2 (marching) never meet. Bits 2 and 3 permute its
// quads: 8 bytes of pixels p, p+2, p+4, p+6 (weight gradient) and one quad of pixels 4t, 4t+1 (storing) do not either.
MICA_DEVICE int quad_at(int p, int q) { return (p ^ (p >> 1 & 1)) * plane_channels + ((q ^ (p >> 1 & 2) ^ (p >> 3 & 1)) << 2); }
MICA_DEVICE int pair_at(int p, int g) { return quad_at(p, g >> 1) + 2 * (g & 1); }

MICA_DEVICE Fragment<2> load_pair(const float* from) {
  const float2 pair = *reinterpret_cast<const float2*>(from);
  return {pair.x, pair.y};
}

// One predicated store: a branch around a plain one may become four stores of 4 bytes.
MICA_DEVICE void store_pack_if(bool yes, float* to, const Pack<float>& v) {
#ifdef __CUDACC__
  asm volatile("{.reg .pred q; setp.ne.b32 q, %0, 0; @q st.global.v4.f32 [%1], {%2, %3, %4, %5};}" ::"r"(int(yes)), "l"(to), "f"(v.at[0]),
               "f"(v.at[1]), "f"(v.at[2]), "f"(v.at[3])
               : "memory");
#else
  if (yes) store_pack(to, v);
#endif
}

// Keeps the compiler from computing an integer or a pointer anew at every use, to save a register.
template <class X>
MICA_DEVICE void keep([[maybe_unused]] X& x) {
#ifdef __CUDACC__
  if constexpr (sizeof(X) == 8) asm volatile("" : "+l"(x));
  else asm volatile("" : "+r"(x));
#endif
}

template <Precision precision>
MICA_DEVICE float rounded(float x) {
  return precision == Precision::tf32 ? round_to_tf32(x) : x;
}

// Filters packed in the order of A's fragments, rounded or split: [tap][step][lane][4], for three products the low halves `low` floats
// further on.
template <Precision precision> struct Filters;

template <>
struct Filters<Precision::tf32> {
  Pack<float> w[18];  // [tap][step]

  MICA_DEVICE Filters(const float* packed, int) {
#pragma unroll
    for (int k = 0; k < 18; ++k) w[k] = load_pack(packed + k * 128 + threadIdx.x % 32 * 4);
  }

  // total[y][j]: D of row y and of columns 2g + j, from the tile whose pixels of the first row, columns 2g … 2g+3, are at `at`.
  // done(y) is called when row y is complete.
  template <int rows, class Done>
  MICA_DEVICE void march(float (&total)[rows][2][4], const float* plane, const int (&at)[4], const Done& done) const {
#pragma unroll
    for (int i = 0; i < rows + 2; ++i) {
      Pack<float> pixels[4];
#pragma unroll
      for (int k = 0; k < 4; ++k) pixels[k] = load_pack(plane + at[k] + i * row_floats);
#pragma unroll
      for (int v = 0; v < 3; ++v)
#pragma unroll
        for (int step = 0; step < 2; ++step)
#pragma unroll
          for (int u = 0; u < 3; ++u)
            if (const int y = i - u; y >= 0 && y < rows)
#pragma unroll
              for (int j = 0; j < 2; ++j) {
                const Pack<float>&a = w[2 * (3 * u + v) + step], &b = pixels[v + j];
                tensor_core_product(total[y][j], a.at[0], a.at[1], a.at[2], a.at[3], b.at[2 * step], b.at[2 * step + 1]);
              }
      if (i >= 2) done(i - 2);
    }
  }
};

// Twice the filters do not fit into registers, and three products leave time to read more: filters stream through, one tap at a
// time, and every tap reads its own pixels.
template <>
struct Filters<Precision::three_tf32> {
  const float* packed;
  int low;

  MICA_DEVICE Filters(const float* all, int to_low) : packed(all + threadIdx.x % 32 * 4), low(to_low) {}

  template <int rows, class Done>
  MICA_DEVICE void march(float (&total)[rows][2][4], const float* plane, const int (&at)[4], const Done& done) const {
    const auto fragment = [](const float* from) {
      const Pack<float> pack = load_pack(from);
      return Fragment<4>{pack.at[0], pack.at[1], pack.at[2], pack.at[3]};
    };
    const float* tap = packed;
#pragma unroll 1
    for (int u = 0; u < 3; ++u, plane += row_floats)
#pragma unroll
      for (int v = 0; v < 3; ++v, tap += 256) {
        const SplitFragment<4> w[2] = {{fragment(tap), fragment(tap + low)}, {fragment(tap + 128), fragment(tap + low + 128)}};
#pragma unroll
        for (int y = 0; y < rows; ++y)
#pragma unroll
          for (int j = 0; j < 2; ++j) {
            const Pack<float> b = load_pack(plane + at[v + j] + y * row_floats);
            float part[4] = {};
            tensor_core_product(part, w[0], split(Fragment<2>{b.at[0], b.at[1]}));
            tensor_core_product(part, w[1], split(Fragment<2>{b.at[2], b.at[3]}));
            add(total[y][j], part);
          }
      }
#pragma unroll
    for (int y = 0; y < rows; ++y) done(y);
  }
};

// A block's columns are numbered through its strips: number = strip · stride + x, where the stride is the width made even.
template <int rows>
struct Column {
  int x, y;     // in the image; of the first row within the block
  bool inside;  // otherwise it stands in for column 0
  MICA_DEVICE Column(int number, int width) : x(number), y(0), inside(number < strips * (width + width % 2)) {
    const int stride = width + width % 2;
    if (!inside) x = 0;
#pragma unroll
    for (int k = 1; k < strips; ++k)
      if (x >= stride) x -= stride, y += rows;
  }
};
MICA_FUNCTION int columns_of_block(int width) { return strips * (width + width % 2); }

// Where a lane reads the four pixels of its two columns, the first of which is `first` + 2g.
template <int rows>
MICA_DEVICE void find_pixels(int (&at)[4], int first, int width) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const Column<rows> column(first + lane / 4 * 2, width);
#pragma unroll
  for (int k = 0; k < 4; ++k) at[k] = quad_at(column.y * pitch + column.x + k, lane % 4);
}

// D of 16 columns (channels 2g, 2g+1 of columns 4t + 2e + j) → four channels from 4·(g/2) on of column 4t + 2j + g%2, for j = 0, 1.
struct Quads {
  Pack<float> at[2];
};
MICA_DEVICE Quads quads_of(const float (&d)[2][4]) {
  const bool odd = threadIdx.x & 4;
  float given[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) given[i] = __shfl_xor_sync(~0U, odd ? d[0][i] : d[1][i], 4);
  const auto quad = [&](int e) {
    return Pack<float>{{odd ? given[e] : d[0][e], odd ? given[2 + e] : d[0][2 + e], odd ? d[1][e] : given[e], odd ? d[1][2 + e] : given[2 + e]}};
  };
  return {{quad(0), quad(1)}};
}

}  // namespace mica::kernels::conv2d_tensor
