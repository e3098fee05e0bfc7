// Convolution of images of one channel by K×K filters, K = 3, 5 or 7, with stride 1, f32: a network's first layer.
//   y[i,j,o] = b[o] + Σ_{u,v} x[i+u−p, j+v−p] · w[o,u,v]
// It equals kernels/cpu/conv2d_reference.h but for the order of its sums, and but for zeros outside as in conv2d_product.cu.
//
// Its cost is writing y. A block holds a piece of the image with its border, and all filters, in shared memory, and computes
// up to 16 rows × 32 columns; a thread has 4 neighbouring pixels × 4 output channels, and neighbouring threads neighbouring
// output channels.
#include <mica/kernels/cuda/conv2d.h>
#include <mica/kernels/cuda/conv2d_tiles.h>
#include <mica/kernels/math.h>

#include <algorithm>

namespace mica::kernels::conv2d_image {
namespace {

using namespace conv2d_tiles;

constexpr int most_rows = 16, most_columns = 32, most_outputs = 64, threads = 128;

struct ImageSizes {
  Images in;
  Results out;
  const float* w;
  int padding[2];
  int rows, tiles_down, tiles_across;  // of a block; blocks of an image
  Divider by_groups, by_packs;         // groups of 4 columns of a block; packs of output channels
};

// piece[row][column] of the image, `pitch` columns from (row0, column0) on.
MICA_DEVICE void copy_image(const Images& from, int image, int row0, int column0, int rows, int pitch, float* piece) {
  for (int row = static_cast<int>(threadIdx.x) / 32; row < rows; row += threads / 32)
    for (int column = static_cast<int>(threadIdx.x) % 32; column < pitch; column += 32) {
      const int h = row0 + row, w = column0 + column;
      const bool inside = h >= 0 && h < from.h && w >= 0 && w < from.w;
      piece[row * pitch + column] = inside ? from.data[(static_cast<i64>(image) * from.h + h) * from.w + w] : 0.0F;
    }
}

// filters[tap][output channel], 0 where there is none.
template <int K>
MICA_DEVICE void copy_filters(const ImageSizes& s, int outputs, float* filters) {
  for (int at = static_cast<int>(threadIdx.x); at < K * K * outputs; at += threads) {
    const int tap = at / outputs, o = at - tap * outputs;
    filters[at] = o < s.out.c ? s.w[o * K * K + tap] : 0.0F;
  }
}

template <int K>
__global__ void __launch_bounds__(threads, 8) conv_image_kernel(ImageSizes s) {
  constexpr int border = (K - 1 + each - 1) / each * each;  // in whole packs
  MICA_SHARED_ALIGNED(16, float, piece, [(most_rows + K - 1) * (most_columns + border)]);
  MICA_SHARED_ALIGNED(16, float, filters, [K * K * most_outputs]);
  const int groups = static_cast<int>(s.by_groups.divisor), packs = static_cast<int>(s.by_packs.divisor), pitch = groups * each + border;
  const int tile = static_cast<int>(blockIdx.x), column0 = tile % s.tiles_across * groups * each;
  const int row0 = tile / s.tiles_across % s.tiles_down * s.rows, image = tile / s.tiles_across / s.tiles_down;
  copy_image(s.in, image, row0 - s.padding[0], column0 - s.padding[1], s.rows + K - 1, pitch, piece);
  copy_filters<K>(s, packs * each, filters);
  __syncthreads();

  for (int item = static_cast<int>(threadIdx.x); item < s.rows * groups * packs; item += threads) {
    const int rest = static_cast<int>(s.by_packs.divide(static_cast<unsigned>(item))), out = (item - rest * packs) * each;
    const int row = static_cast<int>(s.by_groups.divide(static_cast<unsigned>(rest))), column = (rest - row * groups) * each;
    float total[each][each] = {};
#pragma unroll
    for (int u = 0; u < K; ++u) {
      float line[each + border];
#pragma unroll
      for (int t = 0; t < each + border; t += each) {
        const Pack<float> pack = load_pack(piece + (row + u) * pitch + column + t);
        for (int k = 0; k < each; ++k) line[t + k] = pack.at[k];
      }
#pragma unroll
      for (int v = 0; v < K; ++v) {
        const Pack<float> taps = load_pack(filters + (u * K + v) * packs * each + out);
#pragma unroll
        for (int pixel = 0; pixel < each; ++pixel)
#pragma unroll
          for (int o = 0; o < each; ++o) total[pixel][o] = math::multiply_add<true>(line[pixel + v], taps.at[o], total[pixel][o]);
      }
    }
    store_pixels(s.out, image, row0 + row, column0 + column, out, total);
  }
}

}  // namespace

bool applies(const Conv2dDims& d) {
  const auto all = [](const std::array<i64, 2>& a, i64 value) { return a[0] == value && a[1] == value; };
  return d.c == 1 && d.groups == 1 && d.kh == d.kw && (d.kh == 3 || d.kh == 5 || d.kh == 7) && all(d.stride, 1) && all(d.dilation, 1) &&
         std::max(d.padding[0], d.padding[1]) < d.kh && d.o <= most_outputs;
}

void forward(Cuda& cuda, const Conv2dDims& d, const float* x, const float* w, const float* bias, float* y) {
  ImageSizes s{};
  s.in = images(x, d.h, d.w, 1), s.out = results(y, bias, d.oh, d.ow, d.o), s.w = w;
  s.padding[0] = static_cast<int>(d.padding[0]), s.padding[1] = static_cast<int>(d.padding[1]);
  s.tiles_down = static_cast<int>(ceil_div(d.oh, most_rows)), s.tiles_across = static_cast<int>(ceil_div(d.ow, most_columns));
  s.rows = static_cast<int>(ceil_div(d.oh, s.tiles_down));
  s.by_groups = Divider(ceil_div(ceil_div(d.ow, each), s.tiles_across));
  s.by_packs = Divider(ceil_div(d.o, each));
  const LaunchShape shape{dim3(static_cast<unsigned>(d.n * s.tiles_down * s.tiles_across)), dim3(threads)};
  const auto kernel = d.kh == 3 ? conv_image_kernel<3> : d.kh == 5 ? conv_image_kernel<5> : conv_image_kernel<7>;
  launch(cuda, "conv2d_forward", kernel, shape, s);
}

}  // namespace mica::kernels::conv2d_image
