// How the work is divided: images over threads; for the weight gradient in blocks of images that depend on the shape alone,
// so that the order of its sums does too. Tiles go through the transforms in runs that stay in the first-level cache.
#include <mica/kernels/cpu/conv2d_winograd.h>
#include <mica/kernels/cpu/parallel.h>

#include <algorithm>

namespace mica::kernels {
namespace {

constexpr int forward_run = 12, backward_run = 24;  // tiles
constexpr i64 most_blocks = 16;                     // of images, in the weight gradient

// The size of one image.
struct Image {
  i64 h, w, c;
  i64 size() const { return h * w * c; }
  bool has(i64 i, i64 j) const { return i >= 0 && i < h && j >= 0 && j < w; }
};

// A convolution from `in` to `out`, whose pixels are cut into tiles of 2×2.
struct Plan {
  Image in, out;
  std::array<i64, 2> offset;  // of the input's first tile
  i64 tile_rows() const { return (out.h + 1) / 2; }
  i64 tile_columns() const { return (out.w + 1) / 2; }
  i64 tiles() const { return tile_rows() * tile_columns(); }
};

// Goes through the tiles of images n, n + 1, … in order.
struct TileWalk {
  i64 rows, columns, n, i = 0, j = 0;
  TileWalk(const Plan& p, i64 image) : rows(p.tile_rows()), columns(p.tile_columns()), n(image) {}
  void next() {
    if (++j < columns) return;
    j = 0;
    if (++i < rows) return;
    i = 0;
    ++n;
  }
};

}  // namespace
}  // namespace mica::kernels

#define MICA_KERNELS <mica/kernels/cpu/conv2d_winograd_tiles.h>
#include <mica/kernels/cpu/each_instruction_set.h>

namespace mica::kernels::winograd {
namespace {

constexpr i64 filter_grain(i64 c) { return 1 + 4096 / c; }  // filters that are worth a thread

// f(first item, last item, scratch of its own) on every thread's share of n items.
template <class F>
void for_each_share(const Cpu& cpu, i64 n, float* points, i64 size, const F& f) {
  const i64 shares = std::min<i64>(n, cpu.threads());
  parallel_for(cpu, shares, 1, [&](i64 begin, i64 end) {
    for (i64 share = begin; share < end; ++share) f(n * share / shares, n * (share + 1) / shares, points + share * size);
  });
}

void transform_filters(Cpu& cpu, const Conv2dDims& d, const float* w, bool transposed, float* u) {
  parallel_for(cpu, d.o, filter_grain(d.c), [&](i64 begin, i64 end) {
    MICA_CALL(transform_filters, d.c, d.o, begin, end, w, transposed, u);
  });
}

}  // namespace

bool applies(const Conv2dDims& d) {
  return d.kh == 3 && d.kw == 3 && d.stride == std::array<i64, 2>{1, 1} && d.dilation == std::array<i64, 2>{1, 1} &&
         d.groups == 1 && d.c % 16 == 0 && d.o % 16 == 0;
}

// Measured on an Intel processor with AVX-512, and with both sides kept to AVX2: batches of images of 5×5 to 32×32 pixels
// and 16 to 128 channels gain 1.2 to 1.8 times; few tiles for many filters, and 256 channels, lose.
bool is_faster(const Conv2dDims& d) {
  const i64 tiles = d.n * ((d.oh + 1) / 2) * ((d.ow + 1) / 2), most = std::max(d.c, d.o);
  return applies(d) && instruction_set() != InstructionSet::portable && most <= 128 && tiles > 16 * most;
}

void conv2d_forward(Cpu& cpu, const Conv2dDims& d, const float* x, const float* w, const float* bias, float* y) {
  const Plan p{{d.h, d.w, d.c}, {d.oh, d.ow, d.o}, {-d.padding[0], -d.padding[1]}};
  const i64 filters = 16 * d.c * d.o, own_size = 16 * (forward_run + 1) * (d.c + d.o);
  float* u = cpu.scratch<float>(static_cast<std::size_t>(filters + cpu.threads() * own_size));
  transform_filters(cpu, d, w, false, u);
  for_each_share(cpu, d.n, u + filters, own_size, [&](i64 begin, i64 end, float* own) {
    MICA_CALL(forward_images, p, begin, end, x, u, bias, y, own);
  });
}

void conv2d_backward(Cpu& cpu, const Conv2dDims& d, const float* x, const float* gy, const float* w, float* gx, float* gw, float* gb) {
  const Plan p{{d.h, d.w, d.c}, {d.oh, d.ow, d.o}, {-d.padding[0], -d.padding[1]}};
  const i64 filters = 16 * d.c * d.o, block = filters + d.o;  // block: sums, then bias_sums
  const i64 blocks = std::min<i64>(d.n, gw ? most_blocks : cpu.threads());
  const i64 own_size = 16 * (backward_run + 1) * (2 * d.c + d.o), all_blocks = gw ? blocks * block : 0;
  float* u = cpu.scratch<float>(static_cast<std::size_t>(filters + cpu.threads() * own_size + all_blocks));
  float *own_points = u + filters, *sums = own_points + cpu.threads() * own_size;
  if (gx) transform_filters(cpu, d, w, true, u);
  for_each_share(cpu, blocks, own_points, own_size, [&](i64 begin, i64 end, float* own) {
    for (i64 b = begin; b < end; ++b) {
      float* here = gw ? sums + b * block : nullptr;
      MICA_CALL(backward_images, p, d.n * b / blocks, d.n * (b + 1) / blocks, x, gy, u, gx, here, here + filters, own);
    }
  });
  if (!gw) return;
  parallel_for(cpu, d.o, filter_grain(d.c * blocks), [&](i64 begin, i64 end) {
    MICA_CALL(finish_filter_gradient, d.c, d.o, begin, end, sums, block, blocks, gw);
  });
  for (i64 o = 0; gb && o < d.o; ++o) {
    gb[o] = 0;
    for (i64 b = 0; b < blocks; ++b) gb[o] += sums[b * block + filters + o];
  }
}

}  // namespace mica::kernels::winograd
