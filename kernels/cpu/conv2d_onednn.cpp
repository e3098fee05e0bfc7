// f32 convolution by oneDNN. Images stay N,H,W,C; filters go to the layout that oneDNN asks for and back, every call:
// with plain O,H,W,I filters it falls to its reference code, a hundred times slower.
#include <mica/kernels/cpu/conv2d_onednn.h>
#include <mica/kernels/cpu/onednn.h>

namespace mica::kernels::onednn {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;
constexpr auto f32 = memory::data_type::f32;

enum Pass : i64 { forward = 1, backward_data = 2, backward_weight = 3 };

PrimitiveCache::Key key_of(Pass pass, const Conv2dDims& d, bool bias) {
  return {pass, d.n, d.c, d.h, d.w, d.o, d.kh, d.kw, d.stride[0], d.stride[1], d.padding[0], d.padding[1],
          d.dilation[0], d.dilation[1], d.groups, bias};
}

memory::dims dims_of(const std::array<i64, 2>& pair) { return {pair[0], pair[1]}; }

// Descriptions of x, w (free and as stored), b and y, in oneDNN's logical order.
struct Layouts {
  memory::desc x, w, plain_w, b, y;

  explicit Layouts(const Conv2dDims& d)
      : x({d.n, d.c, d.h, d.w}, f32, Tag::nhwc), b({d.o}, f32, Tag::x), y({d.n, d.o, d.oh, d.ow}, f32, Tag::nhwc) {
    const i64 in = d.c / d.groups, out = d.o / d.groups, filter = d.kh * d.kw * in;
    memory::dims sizes{d.groups, out, in, d.kh, d.kw}, strides{out * filter, filter, 1, d.kw * in, in};
    if (d.groups == 1) {
      sizes.erase(sizes.begin());
      strides.erase(strides.begin());
    }
    w = memory::desc(sizes, f32, Tag::any);
    plain_w = memory::desc(sizes, f32, strides);
  }
};

dnnl::convolution_forward::primitive_desc describe_forward(const dnnl::engine& engine, const Conv2dDims& d,
                                                           const Layouts& l, bool bias) {
  const memory::dims stride = dims_of(d.stride), padding = dims_of(d.padding), dilation{d.dilation[0] - 1, d.dilation[1] - 1};
  const auto kind = dnnl::prop_kind::forward_training;
  const auto algorithm = dnnl::algorithm::convolution_direct;
  using Forward = dnnl::convolution_forward;
  return bias ? describe<Forward>(engine, std::tuple<>(), kind, algorithm, l.x, l.w, l.b, l.y, stride, dilation, padding, padding)
              : describe<Forward>(engine, std::tuple<>(), kind, algorithm, l.x, l.w, l.y, stride, dilation, padding, padding);
}

template <class Descriptor>
Primitive finish(const dnnl::engine& engine, const Descriptor& descriptor, const dnnl::primitive& run, const Layouts& l,
                 const memory::desc& best, bool weights_are_result, std::map<int, memory::desc> arguments) {
  Primitive p{run, l.plain_w, best, descriptor.scratchpad_desc(), {}, best != l.plain_w, std::move(arguments)};
  if (p.reordered) {
    const auto& from = weights_are_result ? best : l.plain_w;
    const auto& to = weights_are_result ? l.plain_w : best;
    p.reorder = dnnl::reorder(dnnl::reorder::primitive_desc(engine, from, engine, to));
  }
  return p;
}

}  // namespace

void conv2d_forward(Cpu& cpu, const Conv2dDims& d, const float* x, const float* w, const float* bias, float* y) {
  PrimitiveCache& cache = cpu.primitives();
  const Primitive& p = cache.get(key_of(forward, d, bias), [&] {
    const Layouts l(d);
    const auto descriptor = describe_forward(cache.engine(), d, l, bias);
    std::map<int, memory::desc> arguments{{DNNL_ARG_SRC, l.x}, {DNNL_ARG_DST, l.y}};
    if (bias) arguments[DNNL_ARG_BIAS] = l.b;
    return finish(cache.engine(), descriptor, dnnl::convolution_forward(descriptor), l, descriptor.weights_desc(), false, arguments);
  });
  cache.execute(cpu, p, {{DNNL_ARG_SRC, x}, {DNNL_ARG_BIAS, bias}, {DNNL_ARG_DST, y}}, DNNL_ARG_WEIGHTS, w);
}

void conv2d_backward_data(Cpu& cpu, const Conv2dDims& d, const float* gy, const float* w, float* gx) {
  PrimitiveCache& cache = cpu.primitives();
  const Primitive& p = cache.get(key_of(backward_data, d, false), [&] {
    const Layouts l(d);
    const auto hint = describe_forward(cache.engine(), d, l, false);
    const auto descriptor = describe<dnnl::convolution_backward_data>(
        cache.engine(), std::make_tuple(hint), dnnl::algorithm::convolution_direct, l.x, l.w, l.y, dims_of(d.stride),
        memory::dims{d.dilation[0] - 1, d.dilation[1] - 1}, dims_of(d.padding), dims_of(d.padding));
    return finish(cache.engine(), descriptor, dnnl::convolution_backward_data(descriptor), l, descriptor.weights_desc(),
                  false, {{DNNL_ARG_DIFF_DST, l.y}, {DNNL_ARG_DIFF_SRC, l.x}});
  });
  cache.execute(cpu, p, {{DNNL_ARG_DIFF_DST, gy}, {DNNL_ARG_DIFF_SRC, gx}}, DNNL_ARG_WEIGHTS, w);
}

void conv2d_backward_weight(Cpu& cpu, const Conv2dDims& d, const float* x, const float* gy, float* gw, float* gb) {
  PrimitiveCache& cache = cpu.primitives();
  const Primitive& p = cache.get(key_of(backward_weight, d, gb), [&] {
    const Layouts l(d);
    const auto hint = describe_forward(cache.engine(), d, l, gb);
    const memory::dims stride = dims_of(d.stride), padding = dims_of(d.padding), dilation{d.dilation[0] - 1, d.dilation[1] - 1};
    const auto algorithm = dnnl::algorithm::convolution_direct;
    using Backward = dnnl::convolution_backward_weights;
    const auto descriptor =
        gb ? describe<Backward>(cache.engine(), std::make_tuple(hint), algorithm, l.x, l.w, l.b, l.y, stride, dilation, padding, padding)
           : describe<Backward>(cache.engine(), std::make_tuple(hint), algorithm, l.x, l.w, l.y, stride, dilation, padding, padding);
    std::map<int, memory::desc> arguments{{DNNL_ARG_SRC, l.x}, {DNNL_ARG_DIFF_DST, l.y}};
    if (gb) arguments[DNNL_ARG_DIFF_BIAS] = l.b;
    return finish(cache.engine(), descriptor, Backward(descriptor), l, descriptor.diff_weights_desc(), true, arguments);
  });
  cache.execute(cpu, p, {{DNNL_ARG_SRC, x}, {DNNL_ARG_DIFF_DST, gy}, {DNNL_ARG_DIFF_BIAS, gb}}, DNNL_ARG_DIFF_WEIGHTS, gw, true);
}

}  // namespace mica::kernels::onednn
