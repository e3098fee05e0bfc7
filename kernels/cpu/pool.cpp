#include <mica/kernels/cpu/parallel.h>
#include <mica/kernels/pool.h>

#include <algorithm>
#include <limits>
#include <type_traits>

#define MICA_KERNELS <mica/kernels/cpu/pool_2x2.h>
#include <mica/kernels/cpu/each_instruction_set.h>

namespace mica::kernels {
namespace {

// Windows of 2×2 side by side that cover the image: the fast path of pool_2x2.h.
bool is_2x2(const Pool2dDims& d) {
  using Pair = std::array<i64, 2>;
  return d.kernel == Pair{2, 2} && d.stride == Pair{2, 2} && d.padding == Pair{0, 0} && d.dilation == Pair{1, 1} &&
         d.h == 2 * d.oh && d.w == 2 * d.ow;
}

constexpr i64 tile = 32;  // channels that are compared side by side

// For channels [0, count) of output pixel (i, j) of one image: the winning values, and which pixel of the image each is
// (−1 where the window covers padding only).
template <class T>
MICA_INLINE void find_winners(const Pool2dDims& d, const T* image, i64 i, i64 j, i64 count, T* best, std::int32_t* where) {
  for (i64 c = 0; c < count; ++c) best[c] = -std::numeric_limits<T>::infinity(), where[c] = -1;
  const i64 top = i * d.stride[0] - d.padding[0], left = j * d.stride[1] - d.padding[1];
  const Taps rows = taps_inside(top, d.kernel[0], d.dilation[0], d.h), columns = taps_inside(left, d.kernel[1], d.dilation[1], d.w);
  for (i64 u = rows.first; u < rows.end; ++u) {
    const i64 h = top + u * d.dilation[0];
    for (i64 v = columns.first; v < columns.end; ++v) {
      const i64 w = left + v * d.dilation[1];
      const auto pixel = static_cast<std::int32_t>(h * d.w + w);
      const T* x = image + (h * d.w + w) * d.c;
      for (i64 c = 0; c < count; ++c) {
        const bool wins = (x[c] > best[c]) | (x[c] != x[c]) | (where[c] < 0);
        best[c] = wins ? x[c] : best[c];
        where[c] = wins ? pixel : where[c];
      }
    }
  }
}

template <class T>
MICA_INLINE void pool_image(const Pool2dDims& d, const T* image, T* out) {
  T best[tile];
  std::int32_t where[tile];
  for (i64 i = 0; i < d.oh; ++i)
    for (i64 j = 0; j < d.ow; ++j)
      for (i64 c = 0; c < d.c; c += tile) {
        const i64 count = std::min(tile, d.c - c);
        find_winners(d, image + c, i, j, count, best, where);
        std::copy(best, best + count, out + (i * d.ow + j) * d.c + c);
      }
}

template <class T>
MICA_INLINE void unpool_image(const Pool2dDims& d, const T* image, const T* gy, T* gx) {
  T best[tile];
  std::int32_t where[tile];
  std::fill(gx, gx + d.h * d.w * d.c, T(0));
  for (i64 i = 0; i < d.oh; ++i)
    for (i64 j = 0; j < d.ow; ++j)
      for (i64 c = 0; c < d.c; c += tile) {
        const i64 count = std::min(tile, d.c - c);
        find_winners(d, image + c, i, j, count, best, where);
        for (i64 k = 0; k < count; ++k)
          if (where[k] >= 0) gx[where[k] * d.c + c + k] += gy[(i * d.ow + j) * d.c + c + k];
      }
}

#define MICA_FLOATING(T)                                                                                        \
  MICA_HOT void pool_one(const Pool2dDims& d, const T* image, T* out) { pool_image(d, image, out); }            \
  MICA_HOT void unpool_one(const Pool2dDims& d, const T* image, const T* gy, T* gx) { unpool_image(d, image, gy, gx); }
MICA_FLOATING(float)
MICA_FLOATING(double)
#undef MICA_FLOATING

}  // namespace

template <class T>
void max_pool2d_forward(Cpu& cpu, const Pool2dDims& d, const T* x, T* y) {
  if constexpr (std::is_same_v<T, float>)
    if (is_2x2(d)) return parallel_for(cpu, d.n * d.oh, 1 + 16384 / (d.w * d.c + 1), [&](i64 begin, i64 end) {
      for (i64 i = begin; i < end; ++i) MICA_CALL(pool_row, d.ow, d.c, d.w * d.c, x + i * 2 * d.w * d.c, y + i * d.ow * d.c);
    });
  parallel_for(cpu, d.n, 1, [&](i64 begin, i64 end) {
    for (i64 n = begin; n < end; ++n) pool_one(d, x + n * d.h * d.w * d.c, y + n * d.oh * d.ow * d.c);
  });
}

template <class T>
void max_pool2d_backward(Cpu& cpu, const Pool2dDims& d, const T* x, const T* gy, T* gx) {
  if constexpr (std::is_same_v<T, float>)
    if (is_2x2(d)) return parallel_for(cpu, d.n * d.oh, 1 + 16384 / (d.w * d.c + 1), [&](i64 begin, i64 end) {
      for (i64 i = begin; i < end; ++i)
        MICA_CALL(unpool_row, d.ow, d.c, d.w * d.c, x + i * 2 * d.w * d.c, gy + i * d.ow * d.c, gx + i * 2 * d.w * d.c);
    });
  parallel_for(cpu, d.n, 1, [&](i64 begin, i64 end) {
    for (i64 n = begin; n < end; ++n)
      unpool_one(d, x + n * d.h * d.w * d.c, gy + n * d.oh * d.ow * d.c, gx + n * d.h * d.w * d.c);
  });
}

// ---- average ----

namespace {

// One window along H or W: the pixels it covers, and how many it counts with padding.
struct Span {
  i64 begin, end, padded;
};

MICA_INLINE Span span(const Pool2dDims& d, const AveragePool& rule, std::size_t axis, i64 i) {
  const i64 size = axis == 0 ? d.h : d.w, outputs = axis == 0 ? d.oh : d.ow;
  if (rule.adaptive) {
    const i64 begin = i * size / outputs, end = ((i + 1) * size + outputs - 1) / outputs;
    return {begin, end, end - begin};
  }
  const i64 start = i * d.stride[axis] - d.padding[axis], stop = std::min(start + d.kernel[axis], size + d.padding[axis]);
  const i64 begin = std::max<i64>(start, 0);
  return {begin, std::max(begin, std::min(stop, size)), stop - start};
}

// f(first pixel row and column, past the last, divisor) for output pixel (i, j).
template <class F>
MICA_INLINE void with_window(const Pool2dDims& d, const AveragePool& rule, i64 i, i64 j, const F& f) {
  const Span h = span(d, rule, 0, i), w = span(d, rule, 1, j);
  const i64 inside = (h.end - h.begin) * (w.end - w.begin);
  f(h, w, rule.divisor != 0 ? rule.divisor : rule.count_include_pad ? h.padded * w.padded : inside);
}

// `count` channels of one output pixel.
template <class T>
MICA_INLINE void average(const Pool2dDims& d, const AveragePool& rule, const T* image, const Span& h, const Span& w, i64 divisor, i64 count, T* out) {
  double total[tile] = {};
  for (i64 row = h.begin; row < h.end; ++row)
    for (i64 column = w.begin; column < w.end; ++column) {
      const T* x = image + (row * d.w + column) * d.c;
      for (i64 c = 0; c < count; ++c) total[c] += static_cast<double>(x[c]);
    }
  const bool empty = !rule.adaptive && (h.begin == h.end || w.begin == w.end);
  for (i64 c = 0; c < count; ++c) out[c] = empty ? T(0) : static_cast<T>(total[c] / static_cast<double>(divisor));
}

template <class T>
MICA_INLINE void average_image(const Pool2dDims& d, const AveragePool& rule, const T* image, T* out) {
  for (i64 i = 0; i < d.oh; ++i)
    for (i64 j = 0; j < d.ow; ++j)
      with_window(d, rule, i, j, [&](const Span& h, const Span& w, i64 divisor) MICA_LAMBDA_INLINE {
        for (i64 c = 0; c < d.c; c += tile) average(d, rule, image + c, h, w, divisor, std::min(tile, d.c - c), out + (i * d.ow + j) * d.c + c);
      });
}

template <class T>
MICA_INLINE void spread_image(const Pool2dDims& d, const AveragePool& rule, const T* gy, T* gx) {
  std::fill(gx, gx + d.h * d.w * d.c, T(0));
  for (i64 i = 0; i < d.oh; ++i)
    for (i64 j = 0; j < d.ow; ++j)
      with_window(d, rule, i, j, [&](const Span& h, const Span& w, i64 divisor) MICA_LAMBDA_INLINE {
        const T* g = gy + (i * d.ow + j) * d.c;
        const T by = static_cast<T>(divisor);
        for (i64 row = h.begin; row < h.end; ++row)
          for (i64 column = w.begin; column < w.end; ++column) {
            T* to = gx + (row * d.w + column) * d.c;
            for (i64 c = 0; c < d.c; ++c) to[c] += g[c] / by;
          }
      });
}

#define MICA_FLOATING(T)                                                                                                                     \
  MICA_HOT void average_one(const Pool2dDims& d, const AveragePool& rule, const T* image, T* out) { average_image(d, rule, image, out); }  \
  MICA_HOT void spread_one(const Pool2dDims& d, const AveragePool& rule, const T* gy, T* gx) { spread_image(d, rule, gy, gx); }
MICA_FLOATING(float)
MICA_FLOATING(double)
#undef MICA_FLOATING

}  // namespace

template <class T>
void avg_pool2d_forward(Cpu& cpu, const Pool2dDims& d, const AveragePool& rule, const T* x, T* y) {
  parallel_for(cpu, d.n, 1, [&](i64 begin, i64 end) {
    for (i64 n = begin; n < end; ++n) average_one(d, rule, x + n * d.h * d.w * d.c, y + n * d.oh * d.ow * d.c);
  });
}

template <class T>
void avg_pool2d_backward(Cpu& cpu, const Pool2dDims& d, const AveragePool& rule, const T* gy, T* gx) {
  parallel_for(cpu, d.n, 1, [&](i64 begin, i64 end) {
    for (i64 n = begin; n < end; ++n) spread_one(d, rule, gy + n * d.oh * d.ow * d.c, gx + n * d.h * d.w * d.c);
  });
}

#define MICA_FLOATING(T)                                                                    \
  template void max_pool2d_forward(Cpu&, const Pool2dDims&, const T*, T*);                  \
  template void max_pool2d_backward(Cpu&, const Pool2dDims&, const T*, const T*, T*);       \
  template void avg_pool2d_forward(Cpu&, const Pool2dDims&, const AveragePool&, const T*, T*);    \
  template void avg_pool2d_backward(Cpu&, const Pool2dDims&, const AveragePool&, const T*, T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
