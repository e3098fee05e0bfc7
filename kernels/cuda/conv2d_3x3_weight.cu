// The filters' gradient of a 3×3 convolution with stride 1, f32, and the bias's with it:
//   gw[o,u,v,c] = Σ_{n,i,j} gy[n,i,j,o] · x[n, i+u−p, j+v−p, c]      gb[o] = Σ_{n,i,j} gy[n,i,j,o]
// It equals kernels/cpu/conv2d_reference.h but for the order of its sums, and but for zeros outside as in conv2d_product.cu.
//
// The images are cut into tiles of up to 6 rows × 32 columns. A block sums over a run of tiles for a slice of up to 16 input
// and 16 output channels; it holds both images' pieces in shared memory. A thread has 3 taps of one tap row × 4 input × 4
// output channels in registers and walks along one row of the tile: for a pack of x and a pack of gy it does 48
// multiply-adds. At the end the rows' threads add up in shared memory, in order, and a second pass adds the blocks' sums.
// An image of one channel has the same, with 1 input channel a thread.
#include <mica/kernels/cuda/conv2d.h>
#include <mica/kernels/cuda/conv2d_tiles.h>
#include <mica/kernels/cuda/partial_sums.h>
#include <mica/kernels/math.h>

#include <algorithm>

namespace mica::kernels::conv2d_3x3 {
namespace {

using namespace conv2d_tiles;

constexpr int most_rows = 6, most_columns = 32, most_packs = 4;  // with 8 rows the 96 registers a thread needs would not be there
constexpr int most_threads = most_rows * 3 * most_packs * most_packs;
constexpr i64 enough_blocks = 264;  // two for each multiprocessor of a large GPU

struct GradientSizes {
  Images x, gy;
  int padding[2];
  int rows, columns, tiles_down, tiles_across;  // of a tile; tiles of an image
  int tiles, tiles_of_block;                    // of all images; of a block
  int slices_in, slices_out;
  int pitch_x, pitch_gy;
  Divider by_packs_in, by_packs_out;
  float* partial;  // [parts][gw, then gb if wanted]
  int partial_size;
  bool want_gb;
};

// What a thread does of its block's work.
struct Role {
  int row, u, in, out;  // a row of the tile; tap row; first channels, within the slices
  bool works;
};

MICA_DEVICE Role role_of(const GradientSizes& s) {
  const int thread = static_cast<int>(threadIdx.x);
  const int packs_in = static_cast<int>(s.by_packs_in.divisor), packs_out = static_cast<int>(s.by_packs_out.divisor);
  const int rest = thread / packs_out, row = rest / packs_in / 3;
  return {row, rest / packs_in % 3, rest % packs_in * 4, thread % packs_out * 4, row < s.rows};
}

template <int width>
struct Sums {
  float taps[3][width][4] = {};  // v, input channel, output channel
  float bias[4] = {};
};

// x: the thread's input channels in the row of its taps; gy: its output channels. Beyond the image's `columns` gy is 0, but x
// may be infinite.
template <int width>
MICA_DEVICE void add_row(const GradientSizes& s, const Role& role, int columns, const float* x, const float* gy, Sums<width>& sums) {
  const int packs_in = static_cast<int>(s.by_packs_in.divisor), in = 4 * packs_in, out = 4 * static_cast<int>(s.by_packs_out.divisor);
  const auto load = [&](int column) {
    if constexpr (width == 4) return load_pack(x + column * in);
    else return Pack<float>{{x[column * in]}};
  };
  Pack<float> pixels[3] = {load(0), load(1), {}};
#pragma unroll 3
  for (int column = 0; column < columns; ++column) {
    pixels[2] = load(column + 2);
    const Pack<float> g = load_pack(gy + column * out);
#pragma unroll
    for (int v = 0; v < 3; ++v)
#pragma unroll
      for (int c = 0; c < width; ++c)
#pragma unroll
        for (int o = 0; o < 4; ++o) sums.taps[v][c][o] = math::multiply_add<true>(pixels[v].at[c], g.at[o], sums.taps[v][c][o]);
    pixels[0] = pixels[1], pixels[1] = pixels[2];
  }
  // The threads that share output channels share the columns.
  for (int column = role.u * packs_in + role.in / 4; column < columns; column += 3 * packs_in) {
    const Pack<float> g = load_pack(gy + column * out);
    for (int o = 0; o < 4; ++o) sums.bias[o] += g.at[o];
  }
}

// Shared memory: gradients[output channel][tap][input channel] = Σ over the tile's rows; the same for the bias, through
// what every thread has.
template <int width>
MICA_DEVICE void add_up(const GradientSizes& s, const Role& role, const Sums<width>& sums, float* gradients, float* biases) {
  const int in = 4 * static_cast<int>(s.by_packs_in.divisor), out = 4 * static_cast<int>(s.by_packs_out.divisor), shares = 3 * in / 4;
  for (int row = 0; row < s.rows; ++row) {
    __syncthreads();
    if (!role.works || role.row != row) continue;
    for (int v = 0; v < 3; ++v)
      for (int c = 0; c < width; ++c)
        for (int o = 0; o < 4; ++o) {
          float& sum = gradients[((role.out + o) * 9 + role.u * 3 + v) * in + role.in + c];
          sum = row == 0 ? sums.taps[v][c][o] : sum + sums.taps[v][c][o];
        }
    for (int o = 0; o < 4; ++o) biases[((row * 3 + role.u) * in / 4 + role.in / 4) * out + role.out + o] = sums.bias[o];
  }
  __syncthreads();
  if (static_cast<int>(threadIdx.x) >= out) return;
  float bias = 0;
  for (int share = 0; share < s.rows * shares; ++share) bias += biases[share * out + static_cast<int>(threadIdx.x)];
  biases[threadIdx.x] = bias;
}

MICA_DEVICE void store_partial(const GradientSizes& s, int part, int in0, int out0, const float* gradients, const float* biases) {
  const int in = 4 * static_cast<int>(s.by_packs_in.divisor), out = 4 * static_cast<int>(s.by_packs_out.divisor);
  float* to = s.partial + static_cast<i64>(part) * s.partial_size;
  for (int at = static_cast<int>(threadIdx.x); at < out * 9 * in; at += static_cast<int>(blockDim.x)) {
    const int row = static_cast<int>(s.by_packs_in.divide(static_cast<unsigned>(at) / 4)), o = out0 + row / 9, c = in0 + at - row * in;
    if (o < s.gy.c && c < s.x.c) to[(o * 9 + row % 9) * s.x.c + c] = gradients[at];
  }
  const int o = out0 + static_cast<int>(threadIdx.x);
  if (s.want_gb && in0 == 0 && static_cast<int>(threadIdx.x) < out && o < s.gy.c) to[s.gy.c * 9 * s.x.c + o] = biases[threadIdx.x];
}

// width: input channels of a thread, 4 or 1.
template <int width>
__global__ void __launch_bounds__(most_threads, 2) conv3x3_weight_kernel(GradientSizes s) {
  MICA_SHARED_DYNAMIC(float, memory);
  const int packs_in = static_cast<int>(s.by_packs_in.divisor), packs_out = static_cast<int>(s.by_packs_out.divisor);
  float *piece_x = memory, *piece_gy = memory + (s.rows + 2) * s.pitch_x;
  const int block = static_cast<int>(blockIdx.x), slices = s.slices_in * s.slices_out, slice = block % slices, part = block / slices;
  const int in0 = slice % s.slices_in * packs_in * 4, out0 = slice / s.slices_in * packs_out * 4;
  const Role role = role_of(s);
  Sums<width> sums;
  const int begin = part * s.tiles_of_block, end = min(begin + s.tiles_of_block, s.tiles);
  for (int tile = begin; tile < end; ++tile) {
    const int column0 = tile % s.tiles_across * s.columns, rest = tile / s.tiles_across;
    const int row0 = rest % s.tiles_down * s.rows, image = rest / s.tiles_down;
    __syncthreads();
    copy_piece(s.x, image, row0 - s.padding[0], column0 - s.padding[1], in0, s.rows + 2, s.columns + 2, s.by_packs_in, s.pitch_x, piece_x);
    copy_piece(s.gy, image, row0, column0, out0, s.rows, s.columns, s.by_packs_out, s.pitch_gy, piece_gy);
    __syncthreads();
    if (role.works && row0 + role.row < s.gy.h)
      add_row(s, role, min(s.columns, s.gy.w - column0), piece_x + (role.row + role.u) * s.pitch_x + role.in,
              piece_gy + role.row * s.pitch_gy + role.out, sums);
  }
  float *gradients = memory, *biases = memory + packs_out * packs_in * 16 * 9;
  add_up(s, role, sums, gradients, biases);
  __syncthreads();
  store_partial(s, part, in0, out0, gradients, biases);
}

// Even shares of `whole` that are at most `most`.
int share(i64 whole, i64 most) { return static_cast<int>(ceil_div(whole, ceil_div(whole, most))); }

}  // namespace

void backward_weight(Cuda& cuda, const Conv2dDims& d, const float* x, const float* gy, float* gw, float* gb) {
  GradientSizes s{};
  s.x = images(x, d.h, d.w, d.c), s.gy = images(gy, d.oh, d.ow, d.o);
  s.padding[0] = static_cast<int>(d.padding[0]), s.padding[1] = static_cast<int>(d.padding[1]);
  s.rows = share(d.oh, most_rows), s.columns = share(d.ow, most_columns);
  s.tiles_down = static_cast<int>(ceil_div(d.oh, s.rows)), s.tiles_across = static_cast<int>(ceil_div(d.ow, s.columns));
  s.tiles = static_cast<int>(d.n) * s.tiles_down * s.tiles_across;
  const int packs_in = share(ceil_div(d.c, 4), most_packs), packs_out = share(ceil_div(d.o, 4), most_packs);
  s.by_packs_in = Divider(packs_in), s.by_packs_out = Divider(packs_out);
  s.slices_in = static_cast<int>(ceil_div(d.c, 4 * packs_in)), s.slices_out = static_cast<int>(ceil_div(d.o, 4 * packs_out));
  s.pitch_x = pitch_for((s.columns + 2) * packs_in * 4, packs_in * 4), s.pitch_gy = pitch_for(s.columns * packs_out * 4, packs_out * 4);
  s.tiles_of_block = static_cast<int>(ceil_div(s.tiles * i64{s.slices_in} * s.slices_out, enough_blocks));
  const i64 parts = ceil_div(s.tiles, s.tiles_of_block), filters = d.o * 9 * d.c;
  s.partial_size = static_cast<int>(filters + (gb ? d.o : 0));
  s.want_gb = gb != nullptr;
  const auto partial = cuda.scratch<float>(parts * s.partial_size);
  s.partial = partial.get();

  const int threads = static_cast<int>(ceil_div(3 * packs_in * packs_out * s.rows, 32) * 32);
  const int pieces = (s.rows + 2) * s.pitch_x + s.rows * s.pitch_gy;
  const int adding = packs_in * packs_out * 16 * 9 + s.rows * 3 * packs_in * packs_out * 4;
  const LaunchShape shape{dim3(static_cast<unsigned>(parts * s.slices_in * s.slices_out)), dim3(static_cast<unsigned>(threads)),
                          static_cast<std::size_t>(std::max(pieces, adding)) * sizeof(float)};
  if (d.c == 1) launch(cuda, "conv2d_backward_weight", conv3x3_weight_kernel<1>, shape, s);
  else launch(cuda, "conv2d_backward_weight", conv3x3_weight_kernel<4>, shape, s);
  const PartialSums<float> sums{partial.get(), static_cast<unsigned>(parts), static_cast<unsigned>(s.partial_size),
                                gw, static_cast<unsigned>(filters), gb};
  add_partial_sums(cuda, "conv2d_backward_weight", sums);
}

}  // namespace mica::kernels::conv2d_3x3
