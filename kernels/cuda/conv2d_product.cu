// Any convolution as a product of matrices (tile_product.h) whose operands are gathered from images as they are needed; with
// K = kh·kw·(c/groups), for each group:
//   y [pixels of y × group_out] = patches of x [pixels of y × K]             · filters [K × group_out]
//   gx[pixels of x × group_in]  = patches of gy [pixels of x × L]            · filters [L × group_in],  L = kh·kw·group_out
//   gw[group_out × K]           = gy [pixels × group_out]ᵀ                   · patches of x [pixels × K]
// A 1×1 filter's patches are the images themselves. It equals kernels/cpu/conv2d_reference.h but for the order of its sums, and
// for what lies outside an image, which counts as zeros: zero times an infinite or NaN filter tap or gradient is NaN, where the reference leaves
// the product out.
#include <mica/kernels/cuda/conv2d.h>
#include <mica/kernels/cuda/strided.h>
#include <mica/kernels/cuda/tile_product.h>

namespace mica::kernels::conv2d_product {
namespace {

// Sizes for finding elements. Positions in an image are i64, since padding and dilation may be close to 2³¹.
struct Geometry {
  i64 h, w, oh, ow;
  i64 stride[2], padding[2], dilation[2];
  unsigned c, o, group_in, group_out, kw, taps;
  Divider by_w, by_h, by_ow, by_oh, by_group_in, by_group_out, by_kw, by_stride[2];

  explicit Geometry(const Conv2dDims& d)
      : h(d.h), w(d.w), oh(d.oh), ow(d.ow), stride{d.stride[0], d.stride[1]}, padding{d.padding[0], d.padding[1]},
        dilation{d.dilation[0], d.dilation[1]}, c(small(d.c)), o(small(d.o)), group_in(small(d.c / d.groups)), group_out(small(d.o / d.groups)),
        kw(small(d.kw)), taps(small(d.kh * d.kw)), by_w(std::max<i64>(d.w, 1)), by_h(std::max<i64>(d.h, 1)), by_ow(d.ow), by_oh(d.oh),
        by_group_in(group_in), by_group_out(group_out), by_kw(kw), by_stride{Divider(d.stride[0]), Divider(d.stride[1])} {}

  static unsigned small(i64 size) { return static_cast<unsigned>(size); }
};

struct Pixel {
  i64 n, i, j;
};
MICA_DEVICE Pixel pixel_of(unsigned index, const Divider& by_rows, const Divider& by_columns) {
  const unsigned row = by_columns.divide(index), image = by_rows.divide(row);
  return {image, row - image * by_rows.divisor, index - row * by_columns.divisor};
}

struct Tap {
  unsigned u, v, channel;
};
// index = (u·kw + v)·channels + channel
MICA_DEVICE Tap tap_of(unsigned index, const Divider& by_kw, const Divider& by_channels) {
  const unsigned tap = by_channels.divide(index), u = by_kw.divide(tap);
  return {u, tap - u * by_kw.divisor, index - tap * by_channels.divisor};
}

// What a filter tap meets of x: null where that is outside.
template <class T>
MICA_DEVICE const T* met(const Geometry& g, const T* x, const Pixel& y, const Tap& tap) {
  const i64 h = y.i * g.stride[0] - g.padding[0] + tap.u * g.dilation[0], w = y.j * g.stride[1] - g.padding[1] + tap.v * g.dilation[1];
  return h >= 0 && h < g.h && w >= 0 && w < g.w ? x + ((y.n * g.h + h) * g.w + w) * g.c + tap.channel : nullptr;
}

// a of y: element (pixel of y, (u,v,c)).
template <class T>
struct InputPatches {
  using Element = T;
  using Place = Pixel;
  static constexpr bool deep = true, gathers = true;
  Geometry g;
  const T* x;
  unsigned size;
  bool packed;

  MICA_DEVICE InputPatches of(unsigned group) const {
    InputPatches one = *this;
    one.x += group * g.group_in;
    return one;
  }
  MICA_DEVICE Pixel place(unsigned pixel) const { return pixel_of(pixel, g.by_oh, g.by_ow); }
  MICA_DEVICE T element(const Pixel& y, unsigned p) const {
    const T* from = met(g, x, y, tap_of(p, g.by_kw, g.by_group_in));
    return from ? *from : T(0);
  }
  MICA_DEVICE Pack<T> pack(const Pixel& y, unsigned p) const {
    const T* from = met(g, x, y, tap_of(p, g.by_kw, g.by_group_in));
    return from ? load_pack(from) : Pack<T>{};
  }
};

// b of gw: element (pixel of y, (u,v,c)), counted the other way round.
template <class T>
struct InputPatchesAcross {
  using Element = T;
  using Place = Tap;
  static constexpr bool deep = false, gathers = true;
  Geometry g;
  const T* x;
  unsigned size;
  bool packed;

  MICA_DEVICE InputPatchesAcross of(unsigned group) const {
    InputPatchesAcross one = *this;
    one.x += group * g.group_in;
    return one;
  }
  MICA_DEVICE Tap place(unsigned tap) const { return tap_of(tap, g.by_kw, g.by_group_in); }
  MICA_DEVICE T element(const Tap& tap, unsigned pixel) const {
    const T* from = met(g, x, pixel_of(pixel, g.by_oh, g.by_ow), tap);
    return from ? *from : T(0);
  }
  MICA_DEVICE Pack<T> pack(const Tap& tap, unsigned pixel) const {
    const T* from = met(g, x, pixel_of(pixel, g.by_oh, g.by_ow), tap);
    return from ? load_pack(from) : Pack<T>{};
  }
};

// a of gx: element (pixel of x, (u,v,o)): gy[n,i,j,o] where tap (u,v) of output (i,j) meets the pixel, else 0.
template <class T>
struct GradientPatches {
  using Element = T;
  using Place = Pixel;
  static constexpr bool deep = true, gathers = true;
  Geometry g;
  const T* gy;
  unsigned size;
  bool packed;

  MICA_DEVICE GradientPatches of(unsigned group) const {
    GradientPatches one = *this;
    one.gy += group * g.group_out;
    return one;
  }
  MICA_DEVICE Pixel place(unsigned pixel) const { return pixel_of(pixel, g.by_h, g.by_w); }
  // at / stride where that is whole and below `outputs`, else −1.
  MICA_DEVICE i64 output(i64 at, int dim, i64 outputs) const {
    if (at < 0) return -1;
    const i64 whole = at < (i64{1} << 31) ? g.by_stride[dim].divide(static_cast<unsigned>(at)) : at / g.stride[dim];
    return whole * g.stride[dim] == at && whole < outputs ? whole : -1;
  }
  MICA_DEVICE const T* find(const Pixel& x, unsigned p) const {
    const Tap tap = tap_of(p, g.by_kw, g.by_group_out);
    const i64 i = output(x.i + g.padding[0] - tap.u * g.dilation[0], 0, g.oh);
    const i64 j = output(x.j + g.padding[1] - tap.v * g.dilation[1], 1, g.ow);
    return i >= 0 && j >= 0 ? gy + ((x.n * g.oh + i) * g.ow + j) * g.o + tap.channel : nullptr;
  }
  MICA_DEVICE T element(const Pixel& x, unsigned p) const {
    const T* from = find(x, p);
    return from ? *from : T(0);
  }
  MICA_DEVICE Pack<T> pack(const Pixel& x, unsigned p) const {
    const T* from = find(x, p);
    return from ? load_pack(from) : Pack<T>{};
  }
};

// b of gx: element ((u,v,o), c) = w[o,u,v,c].
template <class T>
struct FiltersAcross {
  using Element = T;
  struct Place {
    unsigned channel;
  };
  static constexpr bool deep = false, gathers = true;
  const T* w;
  unsigned size, taps, group_out;
  Divider by_group_out;
  bool packed;

  MICA_DEVICE FiltersAcross of(unsigned group) const {
    FiltersAcross one = *this;
    one.w += static_cast<std::size_t>(group) * group_out * taps * size;
    return one;
  }
  MICA_DEVICE Place place(unsigned channel) const { return {channel}; }
  MICA_DEVICE const T* find(const Place& place, unsigned p) const {
    const unsigned tap = by_group_out.divide(p), o = p - tap * group_out;
    return w + (static_cast<std::size_t>(o) * taps + tap) * size + place.channel;
  }
  MICA_DEVICE T element(const Place& place, unsigned p) const { return *find(place, p); }
  MICA_DEVICE Pack<T> pack(const Place& place, unsigned p) const { return load_pack(find(place, p)); }
};

// Packs never straddle two taps or two groups.
template <class T>
bool can_pack(const T* data, i64 channels, i64 of_group) {
  return all_aligned(data) && channels % Pack<T>::size == 0 && of_group % Pack<T>::size == 0;
}

bool is_pointwise(const Conv2dDims& d) {
  return d.kh * d.kw == 1 && d.stride == std::array<i64, 2>{1, 1} && d.padding == std::array<i64, 2>{0, 0};
}

}  // namespace

template <class T>
void forward(Cuda& cuda, const Conv2dDims& d, const T* x, const T* w, const T* bias, T* y) {
  const i64 group_in = d.c / d.groups, group_out = d.o / d.groups, pixels = d.n * d.oh * d.ow, k = d.kh * d.kw * group_in;
  constexpr auto name = "conv2d_forward";
  const auto filters = matrix<true>(w, group_out, k, group_out * k);  // column o of b is row o of w
  ProductOutput<T> out{.data = y, .row_step = d.o, .product_step = group_out};
  out.bias = bias, out.bias_step = static_cast<unsigned>(group_out);
  if (is_pointwise(d)) return product(cuda, name, pixels, group_out, k, d.groups, matrix<true>(x, pixels, d.c, group_in), filters, out);
  const InputPatches<T> patches{Geometry(d), x, static_cast<unsigned>(pixels), can_pack(x, d.c, group_in)};
  product(cuda, name, pixels, group_out, k, d.groups, patches, filters, out);
}

template <class T>
void backward_data(Cuda& cuda, const Conv2dDims& d, const T* gy, const T* w, T* gx) {
  const i64 group_in = d.c / d.groups, group_out = d.o / d.groups, pixels = d.n * d.h * d.w, taps = d.kh * d.kw;
  const ProductOutput<T> out{.data = gx, .row_step = d.c, .product_step = group_in};
  if (is_pointwise(d))
    return product(cuda, "conv2d_backward_data", pixels, group_in, group_out, d.groups, matrix<true>(gy, pixels, d.o, group_out),
                   matrix<false>(w, group_in, group_in, group_out * group_in), out);
  const Geometry g(d);
  const GradientPatches<T> patches{g, gy, static_cast<unsigned>(pixels), can_pack(gy, d.o, group_out)};
  const FiltersAcross<T> filters{w, g.group_in, g.taps, g.group_out, g.by_group_out, can_pack(w, group_in, group_in)};
  product(cuda, "conv2d_backward_data", pixels, group_in, taps * group_out, d.groups, patches, filters, out);
}

template <class T>
void backward_weight(Cuda& cuda, const Conv2dDims& d, const T* x, const T* gy, T* gw) {
  const i64 group_in = d.c / d.groups, group_out = d.o / d.groups, pixels = d.n * d.oh * d.ow, k = d.kh * d.kw * group_in;
  const auto gradients = matrix<false>(gy, group_out, d.o, group_out);  // row o of a, over pixels
  const ProductOutput<T> out{.data = gw, .row_step = k, .product_step = group_out * k};
  if (is_pointwise(d))
    return product(cuda, "conv2d_backward_weight", group_out, k, pixels, d.groups, gradients, matrix<false>(x, k, d.c, group_in), out);
  const InputPatchesAcross<T> patches{Geometry(d), x, static_cast<unsigned>(k), can_pack(x, d.c, group_in)};
  product(cuda, "conv2d_backward_weight", group_out, k, pixels, d.groups, gradients, patches, out);
}

#define MICA_FLOATING(T)                                                                                   \
  template void forward(Cuda&, const Conv2dDims&, const T*, const T*, const T*, T*);                       \
  template void backward_data(Cuda&, const Conv2dDims&, const T*, const T*, T*);                           \
  template void backward_weight(Cuda&, const Conv2dDims&, const T*, const T*, T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels::conv2d_product
