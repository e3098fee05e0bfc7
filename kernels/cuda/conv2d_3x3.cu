// 3×3 convolution with stride 1, f32: with C channels in and O out
//   forward       y[i,j,o]  = b[o] + Σ_{u,v,c} x[i+u−p, j+v−p, c] · w[o,u,v,c]
//   backward_data gx[i,j,c] = Σ_{u,v,o} gy[i+u−(2−p), j+v−(2−p), o] · w[o,2−u,2−v,c]
// which is the same with the filter turned round and its two kinds of channels exchanged: one kernel, two ways to read a
// filter. It equals kernels/cpu/conv2d_reference.h but for the order of its sums, and but for zeros outside as in conv2d_product.cu.
//
// A block computes 8 rows × up to 32 columns × a slice of the output channels. For each slice of up to 16 input channels it
// holds the piece of the image with its border of one, and the filters, in shared memory. A thread has 4 neighbouring pixels
// × 4 output channels in registers: of one row of one tap column it reads 6 packs of the image and 12 of the filters for
// 192 multiply-adds. A warp's lanes are 4 (or 2) packs of output channels × 8 rows × 1 (or 2) groups of 4 pixels; rows lie
// 4 banks apart, so that eight lanes reading 16 bytes each meet no conflict.
#include <mica/kernels/cuda/conv2d.h>
#include <mica/kernels/cuda/conv2d_tiles.h>
#include <mica/kernels/math.h>

#include <algorithm>

namespace mica::kernels::conv2d_3x3 {
namespace {

using namespace conv2d_tiles;

constexpr int tile_rows = 8, most_columns = 32, most_channels = 16;  // most_channels: of the input at a time
constexpr int most_threads = 512;                                    // 8 warps side by side × 2 slices of 16, or 4 × 4 of 8

struct Sizes3x3 {
  Images in;
  Results out;
  const float* w;
  int padding[2];
  int warps_across = 0, warps_out = 0;                  // a block's warps along a row, and along output channels
  int tiles_across = 0, tiles_down = 0, slices = 0;     // blocks of an image: along a row, along a column, of output channels
  int pitch = 0;                                        // of a row of the image's piece in shared memory
  Divider by_packs{}, by_filters{};                     // packs of input channels at a time; output channels of a block
  bool packed_filters = false;
};

// Shared memory: filters[(u·3+v)·channels + channel][output channel], 0 where there is none.
template <bool backward>
MICA_DEVICE void copy_filters(const Sizes3x3& s, int in0, int out0, float* filters) {
  const unsigned outs = s.by_filters.divisor, packs = s.by_packs.divisor, ins = 4 * packs;
  if constexpr (backward) {  // w is [in][8 − tap][out]
    const unsigned out_packs = outs / 4;
    for (unsigned at = threadIdx.x; at < 9 * ins * out_packs; at += blockDim.x) {
      const unsigned row = s.by_filters.divide(at * 4), tap = s.by_packs.divide(row / 4);
      const int in = in0 + static_cast<int>(row - tap * ins), out = out0 + static_cast<int>(at - row * out_packs) * 4;
      const float* from = s.w + (static_cast<i64>(in) * 9 + 8 - tap) * s.out.c + out;
      Pack<float> pack{};
      if (in < s.in.c && s.packed_filters && out < s.out.c) pack = load_pack(from);
      else
        for (int k = 0; k < 4; ++k) pack.at[k] = in < s.in.c && out + k < s.out.c ? from[k] : 0.0F;
      store_pack(filters + row * outs + static_cast<unsigned>(out - out0), pack);
    }
  } else {  // w is [out][tap][in]
    for (unsigned at = threadIdx.x; at < 9 * packs * outs; at += blockDim.x) {
      const unsigned rest = s.by_filters.divide(at), tap = s.by_packs.divide(rest), at_in = (rest - tap * packs) * 4, at_out = at - rest * outs;
      const int in = in0 + static_cast<int>(at_in), out = out0 + static_cast<int>(at_out);
      const float* from = s.w + (static_cast<i64>(out) * 9 + tap) * s.in.c + in;
      Pack<float> pack{};
      if (out < s.out.c && s.packed_filters && in < s.in.c) pack = load_pack(from);
      else
        for (int k = 0; k < 4; ++k) pack.at[k] = out < s.out.c && in + k < s.in.c ? from[k] : 0.0F;
      for (unsigned k = 0; k < 4; ++k) filters[(tap * ins + at_in + k) * outs + at_out] = pack.at[k];
    }
  }
}

// total[pixel][output] += one row of taps, over all channels held. from: the thread's first pixel in that row; filter: its
// first output channel under the row's first tap.
MICA_DEVICE void add_row(const float* from, const float* filter, int channels, int outs, float (&total)[each][each]) {
  for (int c = 0; c < channels; c += 4) {
    Pack<float> pixels[each + 2];
#pragma unroll
    for (int t = 0; t < each + 2; ++t) pixels[t] = load_pack(from + t * channels + c);
#pragma unroll
    for (int v = 0; v < 3; ++v)
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const Pack<float> taps = load_pack(filter + (v * channels + c + k) * outs);
#pragma unroll
        for (int pixel = 0; pixel < each; ++pixel)
#pragma unroll
          for (int o = 0; o < each; ++o) total[pixel][o] = math::multiply_add<true>(pixels[pixel + v].at[k], taps.at[o], total[pixel][o]);
      }
  }
}

// lanes_out: lanes of a warp along output channels, 4 or 2.
template <bool backward, int lanes_out>
__global__ void __launch_bounds__(most_threads, 2) conv3x3_kernel(Sizes3x3 s) {
  MICA_SHARED_DYNAMIC(float, memory);
  constexpr int groups = 4 / lanes_out;  // of 4 pixels, in a warp
  const int columns = s.warps_across * groups * each + 2;
  const int outs = static_cast<int>(s.by_filters.divisor), channels = 4 * static_cast<int>(s.by_packs.divisor);
  float *piece = memory, *filters = memory + (tile_rows + 2) * s.pitch;

  unsigned rest = blockIdx.x;
  const int column0 = static_cast<int>(rest % s.tiles_across) * (columns - 2);
  rest /= s.tiles_across;
  const int row0 = static_cast<int>(rest % s.tiles_down) * tile_rows;
  rest /= s.tiles_down;
  const int out0 = static_cast<int>(rest % s.slices) * outs, image = static_cast<int>(rest / s.slices);

  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int row = lane / lanes_out % tile_rows, column = (warp / s.warps_out * groups + lane / (lanes_out * tile_rows)) * each;
  const int out = (warp % s.warps_out * lanes_out + lane % lanes_out) * each;

  float total[each][each] = {};
  for (int in0 = 0; in0 < s.in.c; in0 += channels) {
    if (in0 > 0) __syncthreads();
    copy_piece(s.in, image, row0 - s.padding[0], column0 - s.padding[1], in0, tile_rows + 2, columns, s.by_packs, s.pitch, piece);
    copy_filters<backward>(s, in0, out0, filters);
    __syncthreads();
    for (int u = 0; u < 3; ++u)
      add_row(piece + (row + u) * s.pitch + column * channels, filters + u * 3 * channels * outs + out, channels, outs, total);
  }
  store_pixels(s.out, image, row0 + row, column0 + column, out0 + out, total);
}

int as_int(i64 value) { return static_cast<int>(value); }

// s: all but the tiling.
template <bool backward>
void run(Cuda& cuda, const char* name, Sizes3x3 s, int n) {
  const int lanes_out = ceil_div(s.out.c, 16) * 2 > ceil_div(s.out.c, 8) ? 2 : 4, groups = 4 / lanes_out;  // fewer idle lanes
  const int columns_of_warp = each * groups, outs_of_warp = each * lanes_out;
  const int warps_across = as_int(ceil_div(s.out.w, columns_of_warp)), warps_out = as_int(ceil_div(s.out.c, outs_of_warp));
  s.tiles_across = as_int(ceil_div(warps_across * columns_of_warp, most_columns));
  s.warps_across = as_int(ceil_div(warps_across, s.tiles_across));
  s.slices = as_int(ceil_div(warps_out * outs_of_warp, 32));
  s.warps_out = as_int(ceil_div(warps_out, s.slices));
  s.tiles_down = as_int(ceil_div(s.out.h, tile_rows));
  const int packs = as_int(ceil_div(s.in.c, 4)), slices_in = as_int(ceil_div(packs * 4, most_channels));
  s.by_packs = Divider(ceil_div(packs, slices_in));
  s.by_filters = Divider(s.warps_out * outs_of_warp);
  const int channels = 4 * static_cast<int>(s.by_packs.divisor);
  s.packed_filters = all_aligned(s.w) && (backward ? s.out.c : s.in.c) % 4 == 0;
  s.pitch = pitch_for((s.warps_across * columns_of_warp + 2) * channels, 4);
  const i64 floats = (tile_rows + 2) * s.pitch + 9 * channels * static_cast<int>(s.by_filters.divisor);
  const LaunchShape shape{dim3(static_cast<unsigned>(i64{n} * s.slices * s.tiles_down * s.tiles_across)),
                          dim3(static_cast<unsigned>(32 * s.warps_across * s.warps_out)), static_cast<std::size_t>(floats) * sizeof(float)};
  if (lanes_out == 4) launch(cuda, name, conv3x3_kernel<backward, 4>, shape, s);
  else launch(cuda, name, conv3x3_kernel<backward, 2>, shape, s);
}

}  // namespace

bool applies(const Conv2dDims& d) {
  const auto all = [](const std::array<i64, 2>& a, i64 value) { return a[0] == value && a[1] == value; };
  return d.kh == 3 && d.kw == 3 && d.groups == 1 && all(d.stride, 1) && all(d.dilation, 1) && std::max(d.padding[0], d.padding[1]) <= 2 &&
         d.c <= 64 && d.o <= 64;
}

void forward(Cuda& cuda, const Conv2dDims& d, const float* x, const float* w, const float* bias, float* y) {
  const int padding[2] = {as_int(d.padding[0]), as_int(d.padding[1])};
  run<false>(cuda, "conv2d_forward", {images(x, d.h, d.w, d.c), results(y, bias, d.oh, d.ow, d.o), w, {padding[0], padding[1]}}, as_int(d.n));
}

void backward_data(Cuda& cuda, const Conv2dDims& d, const float* gy, const float* w, float* gx) {
  if (d.h * d.w == 0) return;
  const int padding[2] = {2 - as_int(d.padding[0]), 2 - as_int(d.padding[1])};
  const Results out = results(gx, nullptr, d.h, d.w, d.c);
  run<true>(cuda, "conv2d_backward_data", {images(gy, d.oh, d.ow, d.o), out, w, {padding[0], padding[1]}}, as_int(d.n));
}

}  // namespace mica::kernels::conv2d_3x3
