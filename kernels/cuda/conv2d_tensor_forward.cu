// 3×3 convolution of 16 channels to 16 or 32 by tensor cores (conv2d_tensor.h), forward: what stands before it is applied on load, what
// the batch norm behind it learns is summed on the way out. It equals batch_norm_apply, then conv2d_product.cu, then batch_norm_of_batch,
// but for the order of its sums and the precision of its products.
#include <mica/kernels/cuda/batch_norm_sums.h>
#include <mica/kernels/cuda/by_cudnn.h>
#include <mica/kernels/cuda/conv2d.h>
#include <mica/kernels/cuda/conv2d_tensor_load.h>
#include <mica/kernels/cuda/conv2d_tensor_sums.h>
#include <mica/kernels/cuda/conv2d_tensor_tiles.h>

namespace mica::kernels {

namespace conv2d_tensor {
namespace {

struct ForwardArguments {
  LoadedInput in;
  Sizes s;
  const float *packed, *bias;  // bias: outs, or null
  float* y;
  double* sums;  // [outs][2][blocks], or null
  i64* batches;  // counted here, one launch before the count is read; may be null
  int tiles;     // blocks of an image
};

template <int outs, int rows, Precision precision>
__global__ void __launch_bounds__(32 * forward_warps(outs), outs == 16 ? 4 : 2) conv2d_tensor_forward_kernel(ForwardArguments a) {
  MICA_SHARED_DYNAMIC(float, tile);  // (strips·rows + 2) × pitch × 16
  MICA_SHARED_ALIGNED(16, WarpSums, of_warps, );
  constexpr int halves = outs / 16;
  const int image = static_cast<int>(blockIdx.x) / a.tiles, row0 = (static_cast<int>(blockIdx.x) - image * a.tiles) * strips * rows;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32, warps = static_cast<int>(blockDim.x) / 32;
  const int g = lane / 4, t = lane % 4, half = warp % halves;
  if (a.batches && blockIdx.x == 0 && threadIdx.x == 0) ++*a.batches;

  load_input<precision>(tile, a.in, a.s, image, row0 - a.s.padding, strips * rows + 2);
  const Filters<precision> filters(a.packed + half * filter_floats, outs * 144);
  const Fragment<2> bias = a.bias ? load_pair(a.bias + 16 * half + 2 * g) : Fragment<2>{};
  __syncthreads();

  PixelMoments moments;
  for (int first = warp / halves * columns_of_warp; first < columns_of_block(a.s.ow); first += warps / halves * columns_of_warp) {
    int at[4], to[2], left[2];  // where columns are read, and stored; how many rows there are of these
    find_pixels<rows>(at, first, a.s.ow);
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const Column<rows> column(first + 4 * t + 2 * j + g % 2, a.s.ow);
      to[j] = ((image * a.s.oh + row0 + column.y) * a.s.ow + column.x) * outs + 16 * half + 4 * (g / 2);
      left[j] = column.inside && column.x < a.s.ow ? a.s.oh - row0 - column.y : 0;
      keep(to[j]), keep(left[j]);
    }
    float total[rows][2][4];
#pragma unroll
    for (int k = 0; k < rows * 2; ++k)
#pragma unroll
      for (int i = 0; i < 4; ++i) total[k / 2][k % 2][i] = bias.at[i / 2];
    filters.march(total, tile, at, [&](int row) {
      const Quads quads = quads_of(total[row]);
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const bool live = row < left[j];
        store_pack_if(live, a.y + to[j], quads.at[j]);
        to[j] += a.s.ow * outs;
        if (a.sums) moments.add(row == 0, live, quads.at[j]);
      }
    });
  }
  if (a.sums) moments.write(of_warps, outs, warps, static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x), a.sums);
}

// Of the pixels of each block.
struct TileRows {
  unsigned rows, channels, blocks;
  unsigned tiles, tile_rows, height, width;
  MICA_DEVICE unsigned rows_of(unsigned block) const { return min(tile_rows, height - block % tiles * tile_rows) * width; }
};

template <int outs, int rows, Precision precision>
void run(Cuda& cuda, const Conv2dDims& d, const ChainInput& x, const float* packed, const float* bias, float* y,
         const ChainStatistics* statistics) {
  const int tiles = static_cast<int>(ceil_div(d.oh, strips * rows)), blocks = static_cast<int>(d.n) * tiles;
  const TileRows all{static_cast<unsigned>(d.n * d.oh * d.ow),
                     outs,
                     static_cast<unsigned>(blocks),
                     static_cast<unsigned>(tiles),
                     strips * rows,
                     static_cast<unsigned>(d.oh),
                     static_cast<unsigned>(d.ow)};
  const LaunchShape shape{dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(32 * warps_for(d.ow) * outs / 16)),
                          tile_bytes(strips * rows + 2)};
  const auto sums = cuda.scratch<double>(statistics ? i64{outs} * 2 * blocks : 1);
  const ForwardArguments arguments{
      LoadedInput(x), Sizes(d), packed, bias, y, statistics ? sums.get() : nullptr, statistics ? statistics->running.batches : nullptr,
      tiles};
  launch(cuda, "conv2d_forward", conv2d_tensor_forward_kernel<outs, rows, precision>, shape, arguments);
  if (statistics)
    launch(cuda, "batch_norm_learn", learn_kernel<float, TileRows>, warp_each(outs), all, sums.get(), statistics->parameters,
           statistics->running, statistics->variance, statistics->factors);
}

// Filters O,3,3,16 → A's fragments, forward and then backward, where the two kinds of channels change places and the taps turn round:
// element (row, k) of step j of a tap is the result's channel 2g or 2g+1 and the operand's 4t + 2j or 4t + 2j + 1.
template <Precision precision>
__global__ void pack_filters_kernel(const float* w, float* packed, int count) {
  const int e = static_cast<int>(first_item());
  if (e >= count) return;
  const int i = e % 4, t = e / 4 % 4, g = e / 16 % 8, step = e / 128 % 2, tap = e / 256 % 9, half = e / filter_floats;
  const int result = 2 * g + i % 2, operand = 4 * t + 2 * step + i / 2;
  const float values[2] = {w[((16 * half + result) * 9 + tap) * 16 + operand], w[((16 * half + operand) * 9 + 8 - tap) * 16 + result]};
  for (int pass = 0; pass < 2; ++pass) {
    const float value = values[pass], high = kept_by_tensor_core(value);
    float* const to = packed + pass * 2 * count + e;
    to[0] = precision == Precision::tf32 ? round_to_tf32(value) : high;
    to[count] = precision == Precision::tf32 ? 0 : value - high;
  }
}

}  // namespace

bool applies(const Cuda& cuda, const Conv2dDims& d) {
  const auto all = [](const std::array<i64, 2>& a, i64 value) { return a[0] == value && a[1] == value; };
  return cuda.has_tensor_cores() && d.kh == 3 && d.kw == 3 && d.groups == 1 && all(d.stride, 1) && all(d.dilation, 1) &&
         (all(d.padding, 0) || all(d.padding, 1)) && d.c == 16 && (d.o == 16 || d.o == 32) && d.w <= most_columns;
}

void forward(Cuda& cuda, const Conv2dDims& d, const float* x, const float* w, const float* bias, float* y) {
  const auto packed = cuda.scratch<float>(conv2d_chain_filter_floats(d));
  conv2d_chain_forward(cuda, d, {.x = x}, conv2d_chain_pack_filters(cuda, d, w, packed.get()), bias, y, nullptr);
}

}  // namespace conv2d_tensor

using namespace conv2d_tensor;

bool conv2d_chain_applies(Cuda& cuda, const Conv2dDims& d) {
  for (const LibraryOp op : {LibraryOp::conv2d, LibraryOp::batch_norm, LibraryOp::dropout})
    if (by_cudnn(cuda, op)) return false;
  return applies(cuda, d);
}

i64 conv2d_chain_filter_floats(const Conv2dDims& d) { return 4 * d.o * 144; }

ChainFilters conv2d_chain_pack_filters(Cuda& cuda, const Conv2dDims& d, const float* w, float* packed) {
  const i64 count = d.o * 144;
  const bool tf32 = cuda.settings().cudnn_tf32;
  launch(cuda, "conv2d_pack_filters", tf32 ? pack_filters_kernel<Precision::tf32> : pack_filters_kernel<Precision::three_tf32>,
         {dim3(static_cast<unsigned>(ceil_div(count, threads_per_block))), dim3(threads_per_block)}, w, packed, static_cast<int>(count));
  return {packed, tf32};
}

void conv2d_chain_forward(Cuda& cuda, const Conv2dDims& d, const ChainInput& x, const ChainFilters& filters, const float* bias, float* y,
                          const ChainStatistics* statistics) {
  with_kernel(d, d.oh, filters.tf32,
              [&](auto outs, auto rows, auto precision) { run<outs, rows, precision>(cuda, d, x, filters.packed, bias, y, statistics); });
}

}  // namespace mica::kernels
