// Pooling. A thread makes one pixel's values of a pack of channels: of y forward, and of gx backward, where it gathers from the
// windows that cover the pixel, in their order. Windows that tile the image (kernel = stride) are done one a thread in both
// directions, and those of 2×2, which networks have, with loops that are unrolled.
#include <mica/kernels/cuda/cudnn_ops.h>
#include <mica/kernels/cuda/reduction.h>
#include <mica/kernels/pool.h>

#include <limits>

namespace mica::kernels {
namespace {

// ---- packs of channels ----

// `wide` channels: a pack, or one where the channels do not divide into packs.
template <int wide, class T>
struct Channels {
  T at[wide];

  MICA_DEVICE static Channels load(const T* from) {
    if constexpr (wide > 1) {
      const Pack<T> pack = load_pack(from);
      Channels channels;
      for (int k = 0; k < wide; ++k) channels.at[k] = pack.at[k];
      return channels;
    } else {
      return {*from};
    }
  }
  MICA_DEVICE void store(T* to) const {
    if constexpr (wide > 1) {
      Pack<T> pack;
      for (int k = 0; k < wide; ++k) pack.at[k] = at[k];
      store_pack(to, pack);
    } else {
      *to = at[0];
    }
  }
};

// Items are packs of channels of n×rows×columns pixels or windows.
struct Grid {
  Divider rows, columns, packs;
  unsigned count;

  Grid(const Pool2dDims& d, i64 rows, i64 columns, int wide)
      : rows(std::max<i64>(rows, 1)), columns(std::max<i64>(columns, 1)), packs(std::max<i64>(d.c / wide, 1)),
        count(static_cast<unsigned>(d.n * rows * columns * (d.c / wide))) {}

  struct Item {
    i64 n;
    int row, column;
    unsigned pack;
  };
  MICA_DEVICE Item item(unsigned i) const {
    const unsigned pixel = packs.divide(i), line = columns.divide(pixel), image = rows.divide(line);
    return {image, static_cast<int>(line - image * rows.divisor), static_cast<int>(pixel - line * columns.divisor), i - pixel * packs.divisor};
  }
};

// f<wide>(), with packs where the channels and pointers allow.
template <class T, class F, class... P>
void by_width(const Pool2dDims& d, const F& f, const P*... pointers) {
  if (d.c % Pack<T>::size == 0 && all_aligned(pointers...)) f(std::integral_constant<int, Pack<T>::size>{});
  else f(std::integral_constant<int, 1>{});
}

// ---- maximum ----

// The values that win window (i, j), and their pixels, −1 where the window covers padding only. kernel: 2 for 2×2, 0 for d's.
template <int kernel, int wide, class T>
struct Winners {
  Channels<wide, T> best;
  int where[wide];

  // image: its pack of channels.
  MICA_DEVICE Winners(const Pool2dDims& d, const T* image, i64 i, i64 j) {
    for (int k = 0; k < wide; ++k) best.at[k] = -std::numeric_limits<T>::infinity(), where[k] = -1;
    if constexpr (kernel > 0) {
#pragma unroll
      for (i64 h = i * kernel; h < (i + 1) * kernel; ++h)
#pragma unroll
        for (i64 w = j * kernel; w < (j + 1) * kernel; ++w)
          if (h < d.h && w < d.w) meet(d, image, h, w);
    } else {
      const i64 top = i * d.stride[0] - d.padding[0], left = j * d.stride[1] - d.padding[1];
      const Taps rows = taps_inside(top, d.kernel[0], d.dilation[0], d.h), columns = taps_inside(left, d.kernel[1], d.dilation[1], d.w);
#pragma unroll 1  // unrolled, it takes 128 registers on sm_100 and later
      for (i64 u = rows.first; u < rows.end; ++u)
#pragma unroll 1
        for (i64 v = columns.first; v < columns.end; ++v) meet(d, image, top + u * d.dilation[0], left + v * d.dilation[1]);
    }
  }
  MICA_DEVICE void meet(const Pool2dDims& d, const T* image, i64 h, i64 w) {
    const auto pixel = static_cast<int>(h * d.w + w);
    const auto x = Channels<wide, T>::load(image + (h * d.w + w) * d.c);
    for (int k = 0; k < wide; ++k) {
      const bool wins = (x.at[k] > best.at[k]) | (x.at[k] != x.at[k]) | (where[k] < 0);
      best.at[k] = wins ? x.at[k] : best.at[k];
      where[k] = wins ? pixel : where[k];
    }
  }
};

template <int kernel, int wide, class T>
__global__ void max_forward(Grid windows, Pool2dDims d, const T* x, T* y) {
  for (unsigned i = first_item(); i < windows.count; i += item_step()) {
    const auto [n, row, column, pack] = windows.item(i);
    const T* image = x + n * d.h * d.w * d.c + pack * wide;
    Winners<kernel, wide, T>(d, image, row, column).best.store(y + static_cast<i64>(i) * wide);
  }
}

// The taps of windows that meet a pixel: where tap k does, the window begins at pixel + padding − k·dilation, which is one of
// 0, stride, …, (outputs − 1)·stride.
MICA_DEVICE Taps taps_onto(const Pool2dDims& d, int axis, i64 pixel) {
  const i64 last = ((axis == 0 ? d.oh : d.ow) - 1) * d.stride[axis];
  return taps_inside(last - pixel - d.padding[axis], d.kernel[axis], d.dilation[axis], last + 1);
}

// Each pixel's sum over the windows that it wins, which are found again.
template <int wide, class T>
__global__ void max_backward(Grid pixels, Pool2dDims d, const T* x, const T* gy, T* gx) {
  for (unsigned item = first_item(); item < pixels.count; item += item_step()) {
    const auto [n, row, column, pack] = pixels.item(item);
    const T* image = x + n * d.h * d.w * d.c + pack * wide;
    const T* out = gy + n * d.oh * d.ow * d.c + pack * wide;
    Channels<wide, T> sum{};
    const Taps rows = taps_onto(d, 0, row), columns = taps_onto(d, 1, column);
    for (i64 u = rows.end - 1; u >= rows.first; --u) {
      const i64 top = row + d.padding[0] - u * d.dilation[0], i = quotient(top, d.stride[0]);
      if (top != i * d.stride[0]) continue;
      for (i64 v = columns.end - 1; v >= columns.first; --v) {
        const i64 left = column + d.padding[1] - v * d.dilation[1], j = quotient(left, d.stride[1]);
        if (left != j * d.stride[1]) continue;
        const Winners<0, wide, T> winners(d, image, i, j);
        const auto g = Channels<wide, T>::load(out + (i * d.ow + j) * d.c);
        for (int k = 0; k < wide; ++k)
          if (winners.where[k] == row * d.w + column) sum.at[k] += g.at[k];
      }
    }
    sum.store(gx + static_cast<i64>(item) * wide);
  }
}

// Windows that tile the image; those beyond the last one have no y, and their pixels get 0.
template <int kernel, int wide, class T>
__global__ void max_backward_tiles(Grid tiles, Pool2dDims d, const T* x, const T* gy, T* gx) {
  for (unsigned item = first_item(); item < tiles.count; item += item_step()) {
    const auto [n, i, j, pack] = tiles.item(item);
    const bool pooled = i < d.oh && j < d.ow;
    const i64 image = n * d.h * d.w * d.c + pack * wide;
    const Winners<kernel, wide, T> winners(d, x + image, i, j);
    Channels<wide, T> g{};
    if (pooled) g = Channels<wide, T>::load(gy + ((n * d.oh + i) * d.ow + j) * d.c + pack * wide);
    const i64 rows = kernel > 0 ? kernel : d.kernel[0], columns = kernel > 0 ? kernel : d.kernel[1];
#pragma unroll(kernel > 0 ? kernel : 1)
    for (i64 u = 0; u < rows; ++u) {
      const i64 h = i * rows + u;
      if (h >= d.h) break;
#pragma unroll(kernel > 0 ? kernel : 1)
      for (i64 v = 0; v < columns; ++v) {
        const i64 w = j * columns + v;
        if (w >= d.w) break;
        Channels<wide, T> gradient{};
        for (int k = 0; k < wide; ++k) gradient.at[k] = winners.where[k] == h * d.w + w ? g.at[k] : T(0);
        gradient.store(gx + image + (h * d.w + w) * d.c);
      }
    }
  }
}

using Two = std::array<i64, 2>;

bool tiles_image(const Pool2dDims& d) { return d.kernel == d.stride && d.padding == Two{0, 0} && d.dilation == Two{1, 1}; }
bool is_2x2(const Pool2dDims& d) { return tiles_image(d) && d.kernel == Two{2, 2}; }

// ---- average ----

struct Span {
  i64 begin, end, padded;  // pixels along H or W, and how many with padding
};

MICA_DEVICE Span span(const Pool2dDims& d, const AveragePool& rule, int axis, i64 i) {
  const i64 size = axis == 0 ? d.h : d.w, outputs = axis == 0 ? d.oh : d.ow;
  if (rule.adaptive && outputs == 1) return {0, size, size};
  if (rule.adaptive) {
    const i64 begin = i * size / outputs, end = ((i + 1) * size + outputs - 1) / outputs;
    return {begin, end, end - begin};
  }
  const i64 start = i * d.stride[axis] - d.padding[axis], most = size + d.padding[axis];
  const i64 stop = start + d.kernel[axis] < most ? start + d.kernel[axis] : most;
  const i64 begin = start > 0 ? start : 0, end = stop < size ? stop : size;
  return {begin, end > begin ? end : begin, stop - start};
}

MICA_DEVICE i64 divisor_of(const AveragePool& rule, const Span& h, const Span& w) {
  if (rule.divisor != 0) return rule.divisor;
  return rule.count_include_pad ? h.padded * w.padded : (h.end - h.begin) * (w.end - w.begin);
}

template <int wide, class T>
__global__ void average_forward(Grid windows, Pool2dDims d, AveragePool rule, const T* x, T* y) {
  for (unsigned item = first_item(); item < windows.count; item += item_step()) {
    const auto [n, i, j, pack] = windows.item(item);
    const Span h = span(d, rule, 0, i), w = span(d, rule, 1, j);
    const T* image = x + n * d.h * d.w * d.c + pack * wide;
    double total[wide] = {};
    for (i64 row = h.begin; row < h.end; ++row)
      for (i64 column = w.begin; column < w.end; ++column) {
        const auto v = Channels<wide, T>::load(image + (row * d.w + column) * d.c);
        for (int k = 0; k < wide; ++k) total[k] += static_cast<double>(v.at[k]);
      }
    const bool empty = !rule.adaptive && (h.begin == h.end || w.begin == w.end);
    const auto divisor = static_cast<double>(divisor_of(rule, h, w));
    Channels<wide, T> mean{};
    if (!empty)
      for (int k = 0; k < wide; ++k) mean.at[k] = static_cast<T>(total[k] / divisor);
    mean.store(y + static_cast<i64>(item) * wide);
  }
}

// The windows [first, end) that may cover a pixel along one axis.
struct Windows {
  i64 first, end;
};
MICA_DEVICE Windows covering(const Pool2dDims& d, const AveragePool& rule, int axis, i64 pixel) {
  const i64 size = axis == 0 ? d.h : d.w, outputs = axis == 0 ? d.oh : d.ow;
  if (rule.adaptive && outputs == 1) return {0, 1};
  if (rule.adaptive) return {pixel * outputs / size, ((pixel + 1) * outputs + size - 1) / size};
  const i64 at = pixel + d.padding[axis], last = quotient(at, d.stride[axis]);
  return {at < d.kernel[axis] ? 0 : quotient(at - d.kernel[axis], d.stride[axis]) + 1, last < outputs ? last + 1 : outputs};
}

template <int wide, class T>
__global__ void average_backward(Grid pixels, Pool2dDims d, AveragePool rule, const T* gy, T* gx) {
  for (unsigned item = first_item(); item < pixels.count; item += item_step()) {
    const auto [n, row, column, pack] = pixels.item(item);
    const Windows rows = covering(d, rule, 0, row), columns = covering(d, rule, 1, column);
    const T* out = gy + n * d.oh * d.ow * d.c + pack * wide;
    Channels<wide, T> sum{};
    for (i64 i = rows.first; i < rows.end; ++i)
      for (i64 j = columns.first; j < columns.end; ++j) {
        const T by = static_cast<T>(divisor_of(rule, span(d, rule, 0, i), span(d, rule, 1, j)));
        const auto g = Channels<wide, T>::load(out + (i * d.ow + j) * d.c);
        for (int k = 0; k < wide; ++k) sum.at[k] += g.at[k] / by;
      }
    sum.store(gx + static_cast<i64>(item) * wide);
  }
}

// Global pooling: a mean of columns, as a reduction (kernels/cuda/reduction.h).
template <class T>
struct Mean {
  using Value = double;
  static constexpr i64 least = 4096;
  double divisor;
  T* y;

  MICA_DEVICE double start() const { return 0; }
  template <class X> MICA_DEVICE double add(double total, X x, unsigned, unsigned) const { return total + static_cast<double>(x); }
  MICA_DEVICE double operator()(double a, double b) const { return a + b; }
  MICA_DEVICE void finish(unsigned k, double total) const { y[k] = static_cast<T>(total / divisor); }
};

template <class T>
void global_average(Cuda& cuda, const Pool2dDims& d, const T* x, T* y) {
  Region images, pixels;
  images.push_back(d.n, d.h * d.w * d.c);
  images.push_back(d.c, 1);
  pixels.push_back(d.h * d.w, d.c);
  reduce(cuda, "avg_pool2d_forward", images, pixels, Mean<T>{static_cast<double>(d.h * d.w), y}, x);
}

}  // namespace

template <class T>
void max_pool2d_forward(Cuda& cuda, const Pool2dDims& d, const T* x, T* y) {
  if (MICA_BY_CUDNN(max_pool2d, cudnn_ops::max_pool2d_forward(cuda, d, x, y))) return;
  by_width<T>(d, [&](auto width) {
    constexpr int wide = width;
    const Grid windows(d, d.oh, d.ow, wide);
    if (windows.count == 0) return;
    const auto kernel = is_2x2(d) ? max_forward<2, wide, T> : max_forward<0, wide, T>;
    launch(cuda, "max_pool2d_forward", kernel, grid_for(cuda, windows.count), windows, d, x, y);
  }, x, y);
}

template <class T>
void max_pool2d_backward(Cuda& cuda, const Pool2dDims& d, const T* x, const T* gy, T* gx) {
  if (MICA_BY_CUDNN(max_pool2d, cudnn_ops::max_pool2d_backward(cuda, d, x, gy, gx))) return;
  by_width<T>(d, [&](auto width) {
    constexpr int wide = width;
    const bool tiled = tiles_image(d);
    const Grid grid = tiled ? Grid(d, ceil_div(d.h, d.kernel[0]), ceil_div(d.w, d.kernel[1]), wide) : Grid(d, d.h, d.w, wide);
    if (grid.count == 0) return;
    const auto kernel = !tiled ? max_backward<wide, T> : is_2x2(d) ? max_backward_tiles<2, wide, T> : max_backward_tiles<0, wide, T>;
    launch(cuda, "max_pool2d_backward", kernel, grid_for(cuda, grid.count), grid, d, x, gy, gx);
  }, x, gy, gx);
}

template <class T>
void avg_pool2d_forward(Cuda& cuda, const Pool2dDims& d, const AveragePool& rule, const T* x, T* y) {
  if (MICA_BY_CUDNN(avg_pool2d, cudnn_ops::avg_pool2d_forward(cuda, d, rule, x, y))) return;
  if (rule.adaptive && d.oh == 1 && d.ow == 1 && rule.divisor == 0) return global_average(cuda, d, x, y);
  by_width<T>(d, [&](auto width) {
    constexpr int wide = width;
    const Grid windows(d, d.oh, d.ow, wide);
    if (windows.count > 0) launch(cuda, "avg_pool2d_forward", average_forward<wide, T>, grid_for(cuda, windows.count), windows, d, rule, x, y);
  }, x, y);
}

template <class T>
void avg_pool2d_backward(Cuda& cuda, const Pool2dDims& d, const AveragePool& rule, const T* gy, T* gx) {
  if (MICA_BY_CUDNN(avg_pool2d, cudnn_ops::avg_pool2d_backward(cuda, d, rule, gy, gx))) return;
  by_width<T>(d, [&](auto width) {
    constexpr int wide = width;
    const Grid pixels(d, d.h, d.w, wide);
    if (pixels.count > 0) launch(cuda, "avg_pool2d_backward", average_backward<wide, T>, grid_for(cuda, pixels.count), pixels, d, rule, gy, gx);
  }, gy, gx);
}

#define MICA_FLOATING(T)                                                                           \
  template void max_pool2d_forward(Cuda&, const Pool2dDims&, const T*, T*);                        \
  template void max_pool2d_backward(Cuda&, const Pool2dDims&, const T*, const T*, T*);             \
  template void avg_pool2d_forward(Cuda&, const Pool2dDims&, const AveragePool&, const T*, T*);    \
  template void avg_pool2d_backward(Cuda&, const Pool2dDims&, const AveragePool&, const T*, T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
