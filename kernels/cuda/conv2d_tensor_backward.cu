// 3×3 convolution of 16 channels to 16 or 32 by tensor cores (conv2d_tensor.h), backward: data and weight gradient from one load of the
// output's gradient. On that load the batch norm behind the convolution is undone; as the data gradient is stored, ReLU and dropout
// before the convolution are, and what the gradients of the batch norm before it need is summed. It equals batch_norm_backward's
// passes around conv2d_product.cu but for the order of its sums and the precision of its products.
//
// Some warps of a block compute the data gradient, the others the weight gradient of the same tiles: none holds both the filters and the
// weight gradient's 72 sums. Where one of them is not asked for, its warps are not there.
#include <mica/kernels/cuda/batch_norm_sums.h>
#include <mica/kernels/cuda/conv2d.h>
#include <mica/kernels/cuda/conv2d_tensor_load.h>
#include <mica/kernels/cuda/conv2d_tensor_sums.h>
#include <mica/kernels/cuda/conv2d_tensor_tiles.h>
#include <mica/kernels/cuda/partial_sums.h>

namespace mica::kernels {

namespace conv2d_tensor {
namespace {

struct BackwardArguments {
  ChainGradient gy;
  LoadedInput in;
  const float* in_mean;  // 16, with sums
  Sizes s;
  const float* packed;
  float *gx, *gw;  // one may be null; gw: [blocks][outs][9][16]
  double* sums;    // [16][2][blocks], or null
  int tiles, data_warps;
  int first, blocks;  // which one is block 0, of all

  MICA_FUNCTION bool reads_x() const { return gw || in.scale; }
};

// Planes of 32 channels lie half the banks apart: a warp writes both halves of a pixel at once.
__host__ __device__ constexpr int plane_floats(int rows) { return rows * row_floats + 16; }

// Rows row0 … of an image's output gradient, undone, with zeros outside and a border of them on all sides, two wide or as much less as
// the convolution was padded: the data gradient is then a plain convolution.
template <int outs, Precision precision>
MICA_DEVICE void load_gradient(float* tile, const ChainGradient& from, const Sizes& s, int image, int row0, int rows) {
  constexpr int quads = outs / 4, pixels = 32 / quads;  // pixels of a warp's read; `quads` reads cover a row of a tile
  const int lane = static_cast<int>(threadIdx.x) % 32, warps = static_cast<int>(blockDim.x) / 32, q = lane % quads, border = 2 - s.padding;
  const int first_column = lane / quads - border;
  Pack<float> by_g{}, by_x{}, constant{}, mean{};
  if (from.slopes) by_g = load_pack(from.slopes + 4 * q);
  if (from.y)
    by_x = load_pack(from.slopes + outs + 4 * q), constant = load_pack(from.slopes + 2 * outs + 4 * q), mean = load_pack(from.mean + 4 * q);
  for (int row = static_cast<int>(threadIdx.x) / 32; row < rows; row += warps) {
    const int in_image = row0 + row;
    const std::ptrdiff_t at = ((static_cast<std::ptrdiff_t>(image) * s.oh + in_image) * s.ow + first_column) * outs + 4 * q;
    const auto inside = [&](int k) {
      return static_cast<unsigned>(in_image) < static_cast<unsigned>(s.oh) &&
             static_cast<unsigned>(first_column + k * pixels) < static_cast<unsigned>(s.ow);
    };
    Pack<float> g[quads], y[quads];
#pragma unroll
    for (int k = 0; k < quads; ++k)
      if (inside(k)) {
        g[k] = load_pack(from.g + at + k * pixels * outs);
        if (from.y) y[k] = load_pack(from.y + at + k * pixels * outs);
      }
#pragma unroll
    for (int k = 0; k < quads; ++k) {
      Pack<float> v{};
      if (inside(k))
#pragma unroll
        for (int c = 0; c < 4; ++c) {
          v.at[c] = g[k].at[c];
          if (from.slopes) v.at[c] *= by_g.at[c];
          if (from.y) v.at[c] += math::multiply_add<true>(by_x.at[c], y[k].at[c] - mean.at[c], constant.at[c]);
          v.at[c] = rounded<precision>(v.at[c]);
        }
      store_pack(tile + q / 4 * plane_floats(rows) + quad_at(row * pitch + lane / quads + k * pixels, q % 4), v);
    }
  }
}

// Of 16×16 channels and 9 taps, from `rows` rows of eight columns: rows of the result (A) are channels of x, columns (B) those of gy, and
// pixels are summed over. Lane 4g + t has pixels of columns 2t and 2t+1 as k = t and t+4: channels 2g, 2g+1 of x, in four reads of 8 bytes
// for the three taps of both columns, and channels g and g+8 of gy, one for each half of the result's columns. The last three rows of gy
// stay in registers.
template <int rows, Precision precision>
MICA_DEVICE void add_weight_gradient(float (&total)[9][2][4], const float* gy, const float* x, const int (&gy_at)[2][2],
                                     const int (&x_at)[4]) {
  Fragment<2> b[3][2];  // [row % 3][half of the channels]
#pragma unroll
  for (int i = 0; i < rows + 2; ++i) {
    if (i < rows)
#pragma unroll
      for (int half = 0; half < 2; ++half)
#pragma unroll
        for (int column = 0; column < 2; ++column) b[i % 3][half].at[column] = gy[gy_at[column][half] + i * row_floats];
    Fragment<2> pixels[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) pixels[k] = load_pair(x + x_at[k] + i * row_floats);
#pragma unroll
    for (int v = 0; v < 3; ++v) {
      const Fragment<4> a{pixels[v].at[0], pixels[v].at[1], pixels[v + 1].at[0], pixels[v + 1].at[1]};
#pragma unroll
      for (int u = 0; u < 3; ++u)
        if (const int y = i - u; y >= 0 && y < rows)
#pragma unroll
          for (int half = 0; half < 2; ++half) add_product<precision>(total[3 * u + v][half], a, b[y % 3][half]);
    }
  }
}

// The gradient of what was normalised, from that of what became of it (seen): ReLU and dropout are one mask.
MICA_DEVICE Pack<float> reached(Pack<float> g, const Pack<float>& seen, float keep_scale, bool live) {
#pragma unroll
  for (int c = 0; c < 4; ++c) g.at[c] = live && seen.at[c] >= least_positive ? g.at[c] * keep_scale : 0;
  return g;
}

template <int outs, int rows, Precision precision>
MICA_DEVICE void data_gradient(const BackwardArguments& a, const float* gy, const float* x, int image, int row0, WarpSums& of_warps) {
  constexpr int halves = outs / 16;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32, g = lane / 4, t = lane % 4;
  const Sizes& s = a.s;
  PixelGradients sums;
  Pack<float> mean{};
  if (a.sums) mean = load_pack(a.in_mean + 4 * (g / 2));
  for (int first = warp * columns_of_warp; first < columns_of_block(s.w); first += a.data_warps * columns_of_warp) {
    int at[4], x_at[2], left[2], to[2];
    find_pixels<rows>(at, first, s.w);
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const Column<rows> column(first + 4 * t + 2 * j + g % 2, s.w);
      to[j] = ((image * s.h + row0 + column.y) * s.w + column.x) * 16 + 4 * (g / 2);
      x_at[j] = quad_at((column.y + s.padding) * pitch + column.x + s.padding, g / 2);
      left[j] = column.inside && column.x < s.w ? s.h - row0 - column.y : 0;
      keep(to[j]), keep(x_at[j]), keep(left[j]);
    }
    float total[rows][2][4] = {};
#pragma unroll 1
    for (int half = 0; half < halves; ++half) {  // 16 channels of gy at a time: registers hold the filters of no more
      Filters<precision>(a.packed + half * filter_floats, outs * 144)
          .march(total, gy + half * plane_floats(strips * rows + 2), at, [&](int row) {
            if (half < halves - 1) return;
            const Quads quads = quads_of(total[row]);
#pragma unroll
            for (int j = 0; j < 2; ++j) {
              Pack<float> v = quads.at[j];
              const bool live = row < left[j];
              if (a.in.scale) {
                v = reached(v, load_pack(x + x_at[j] + row * row_floats), a.in.keep_scale, live);
                if (live) sums.add(v, load_pack(a.in.x + to[j]), mean);
              }
              store_pack_if(live, a.gx + to[j], v);
              to[j] += s.w * 16;
            }
          });
    }
  }
  if (a.sums) sums.hold(of_warps);
}

template <int outs, int rows, Precision precision>
MICA_DEVICE void weight_gradient(float (&total)[9][2][4], const BackwardArguments& a, const float* gy, const float* x, int warp,
                                 int warps) {
  constexpr int halves = outs / 16;
  const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4, t = lane % 4, half = warp % halves, border = 2 - a.s.padding;
  for (int first = warp / halves * 8; first < columns_of_block(a.s.ow); first += warps / halves * 8) {
    const Column<rows> column(first + 2 * t, a.s.ow);
    const int x_first = column.y * pitch + column.x,
              gy_first = (column.y + border) * pitch + (column.inside ? column.x + border : pitch - 2);  // or zeros
    int gy_at[2][2], x_at[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      gy_at[k / 2][k % 2] = quad_at(gy_first + k / 2, g / 4 + k % 2 * 2) + g % 4;
      x_at[k] = pair_at(x_first + k, g);
    }
    add_weight_gradient<rows, precision>(total, gy + half * plane_floats(strips * rows + 2), x, gy_at, x_at);
  }
}

// What the weight gradient's warps have becomes the block's part, in the order of filters: O,3,3,16.
template <int outs>
MICA_DEVICE void write_weight_gradient(float* shared, const float (&total)[9][2][4], int warp, int warps, float* gw) {
  constexpr int halves = outs / 16;
  if (warp >= 0) {
    float* const own = shared + warp * filter_floats + threadIdx.x % 32 * 4;
#pragma unroll
    for (int k = 0; k < 18; ++k) {
      Pack<float> pack;
#pragma unroll
      for (int i = 0; i < 4; ++i) pack.at[i] = total[k / 2][k % 2][i];
      store_pack(own + k * 128, pack);
    }
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < halves * filter_floats; i += static_cast<int>(blockDim.x)) {
    const int channel = i % 16, tap = i / 16 % 9, out = i / 144, half = out / 16, of_half = out % 16;
    const int fragment = (2 * tap + of_half / 8) * 128 + (channel / 2 * 4 + of_half % 8 / 2) * 4 + channel % 2 * 2 + of_half % 2;
    float sum = 0;
    for (int w = half; w < warps; w += halves) sum += shared[w * filter_floats + fragment];
    gw[i] = sum;
  }
}

template <int outs, int rows, Precision precision>
__global__ void __launch_bounds__(32 * most_warps, 2) conv2d_tensor_backward_kernel(BackwardArguments a) {
  MICA_SHARED_DYNAMIC(float, gy);  // a plane for each 16 channels, then x where it is read; then what the weight gradient's warps have
  MICA_SHARED_ALIGNED(16, WarpSums, of_warps, );
  constexpr int tile_rows = strips * rows + 2;
  float* const x = gy + outs / 16 * plane_floats(tile_rows);
  const int block = a.first + static_cast<int>(blockIdx.x), image = block / a.tiles, row0 = (block - image * a.tiles) * strips * rows;
  const int weight_warp = static_cast<int>(threadIdx.x) / 32 - a.data_warps,
            weight_warps = static_cast<int>(blockDim.x) / 32 - a.data_warps;

  load_gradient<outs, precision>(gy, a.gy, a.s, image, row0 + a.s.padding - 2, tile_rows);
  if (a.reads_x()) load_input<precision>(x, a.in, a.s, image, row0 - a.s.padding, tile_rows);
  __syncthreads();

  if (weight_warp < 0) data_gradient<outs, rows, precision>(a, gy, x, image, row0, of_warps);
  float total[9][2][4] = {};
  if (weight_warp >= 0) weight_gradient<outs, rows, precision>(total, a, gy, x, weight_warp, weight_warps);
  __syncthreads();  // the tiles are not read any more
  if (a.gw) write_weight_gradient<outs>(gy, total, weight_warp, weight_warps, a.gw + static_cast<std::size_t>(blockIdx.x) * outs * 144);
  if (a.sums) write_gradient_sums(of_warps, a.data_warps, block, a.blocks, a.sums);
}

constexpr int most_blocks = 1024;  // at once: each leaves a weight gradient of its own

// For parameter_gradient_kernel, which asks for no rows_of.
struct SumBlocks {
  unsigned rows, channels, blocks;
};

template <int outs, int rows, Precision precision>
void run(Cuda& cuda, const Conv2dDims& d, const ChainGradient& gy, const ChainInput& x, const float* packed, float* gx, float* gw,
         const ChainNormGradients* norm) {
  const int tiles = static_cast<int>(ceil_div(d.h, strips * rows)), blocks = static_cast<int>(d.n) * tiles, halves = outs / 16;
  const int data_warps = gx ? warps_for(d.w) : 0, wanted = outs == 16 ? 3 : data_warps > 2 ? 2 : 4, weight_warps = gw ? wanted : 0;
  static_assert(most_warps == 3 + 3);  // those of the weight gradient are as many for each half of the channels
  const int rounds = gw ? static_cast<int>(ceil_div(blocks, most_blocks)) : 1, in_round = static_cast<int>(ceil_div(blocks, rounds)),
            count = outs * 144;
  const auto sums = cuda.scratch<double>(norm ? i64{16} * 2 * blocks : 1);
  const auto partial = cuda.scratch<float>(gw ? i64{in_round} * count : 1),
             of_rounds = cuda.scratch<float>(rounds > 1 ? i64{rounds} * count : 1);
  BackwardArguments arguments{
      gy,    LoadedInput(x), x.by.mean, Sizes(d), packed + 2 * count, gx, gw ? partial.get() : nullptr, norm ? sums.get() : nullptr,
      tiles, data_warps,     0,         blocks};
  constexpr int tile_rows = strips * rows + 2;
  const std::size_t tile =
      sizeof(float) * static_cast<std::size_t>(halves * plane_floats(tile_rows)) + (arguments.reads_x() ? tile_bytes(tile_rows) : 0);
  const std::size_t of_weights = sizeof(float) * static_cast<std::size_t>(weight_warps * filter_floats);
  for (int round = 0; round < rounds; ++round) {
    arguments.first = round * in_round;
    const int now = std::min(in_round, blocks - arguments.first);
    const LaunchShape shape{dim3(static_cast<unsigned>(now)), dim3(static_cast<unsigned>(32 * (data_warps + weight_warps))),
                            std::max(tile, of_weights)};
    launch(cuda, "conv2d_backward", conv2d_tensor_backward_kernel<outs, rows, precision>, shape, arguments);
    float* const of_round = rounds > 1 ? of_rounds.get() + round * count : gw;
    if (gw)
      add_partial_sums<float>(cuda, "conv2d_backward_weight", {partial.get(), static_cast<unsigned>(now), count, of_round, count, nullptr});
  }
  if (rounds > 1)
    add_partial_sums<float>(cuda, "conv2d_backward_weight", {of_rounds.get(), static_cast<unsigned>(rounds), count, gw, count, nullptr});
  if (!norm) return;
  const SumBlocks all{static_cast<unsigned>(d.n * d.h * d.w), 16, static_cast<unsigned>(blocks)};
  launch(cuda, "batch_norm_parameter_gradient", parameter_gradient_kernel<float, SumBlocks>, warp_each(16), all, sums.get(),
         x.by.inverse_std, norm->w, norm->training, norm->gw, norm->gb, norm->slopes, norm->before);
}

}  // namespace

void backward(Cuda& cuda, const Conv2dDims& d, const float* x, const float* gy, const float* w, float* gx, float* gw) {
  const auto packed = cuda.scratch<float>(conv2d_chain_filter_floats(d));
  conv2d_chain_backward(cuda, d, {.g = gy}, {.x = x}, conv2d_chain_pack_filters(cuda, d, w, packed.get()), gx, gw, nullptr);
}

}  // namespace conv2d_tensor

using namespace conv2d_tensor;

void conv2d_chain_backward(Cuda& cuda, const Conv2dDims& d, const ChainGradient& gy, const ChainInput& x, const ChainFilters& filters,
                           float* gx, float* gw, const ChainNormGradients* norm) {
  with_kernel(d, d.h, filters.tf32,
              [&](auto outs, auto rows, auto precision) { run<outs, rows, precision>(cuda, d, gy, x, filters.packed, gx, gw, norm); });
}

}  // namespace mica::kernels
