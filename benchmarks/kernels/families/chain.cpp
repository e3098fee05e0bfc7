// Convolutions between batch norms, as conv2d_chain.h fuses them, beside the same work by one kernel after another. On CUDA only.
#include "chain.h"

#include "../families.h"
#include "batch_norm.h"
#include "conv2d.h"

#include <mica/kernels/conv2d_chain.h>

#include <algorithm>

namespace mica::bench::families {

using namespace kernels;

namespace {

constexpr double eps = 1e-5;

struct Layer {
  ConvSizes d;  // 3×3 filters
  i64 in, out, filter, in_rows, out_rows;
  std::string of;
  double flops;  // of one pass of the convolution

  Layer(const std::string& name, const ConvSizes& sizes)
      : d(sizes), in(i64{d.n} * d.h * d.w * d.c), out(i64{d.n} * d.oh() * d.ow() * d.o), filter(i64{d.o} * 9 * d.c), in_rows(in / d.c),
        out_rows(out / d.o), of(" " + name + " " + shape({d.n, d.h, d.w, d.c}) + " to " + std::to_string(d.o)),
        flops(2.0 * static_cast<double>(out) * 9 * d.c) {}
  Conv2dDims dims() const { return {d.n, d.c, d.h, d.w, d.o, 3, 3, d.oh(), d.ow(), {1, 1}, {0, 0}, {1, 1}, 1}; }
};

// By one fused kernel, and by one kernel after another, whose convolution may be cuDNN's.
template <class Context>
void both_ways(Case<Context>& c, const typename Case<Context>::Run& fused, const typename Case<Context>::Run& one_by_one) {
  c.tensor_cores = true;
  for (const Products products : {Products::three_tf32, Products::tf32}) {
    c.own("native", fused, products);
    c.own("one by one", one_by_one, products);
    c.library("cuDNN one by one", one_by_one, products == Products::tf32 ? products : Products::f32);
  }
}

// y = b + relu(x · scale + shift) ∗ w, and what the batch norm behind it learns.
template <class Context>
void forward(Cases<Context>& cases, const Layer& l) {
  auto& c = cases.add("forward" + l.of);
  const i64 outs = l.d.o;
  const auto x = c.input(l.in), scale = c.input(l.d.c, 0.5, 1.5), shift = c.input(l.d.c), w = c.input(l.filter), bias = c.input(outs);
  const auto norm_w = c.input(outs, 0.5, 1.5), norm_b = c.input(outs);
  const auto y = c.output(l.out), mean = c.output(outs), inverse = c.output(outs);
  const auto seen = c.scratch(l.in), variance = c.scratch(outs), norm_scale = c.scratch(outs), norm_shift = c.scratch(outs);
  const auto packed = c.scratch(conv2d_chain_filter_floats(l.dims()));
  c.flops = l.flops;
  const auto factors = [=](const Set& s) { return NewBatchNormFactors<float>{s[mean], s[inverse], s[norm_scale], s[norm_shift]}; };
  const auto fused = [=](Context& cuda, const Set& s) {
    const ChainStatistics statistics{{eps, s[norm_w], s[norm_b]}, {}, s[variance], factors(s)};
    const ChainFilters filters = conv2d_chain_pack_filters(cuda, l.dims(), s[w], s[packed]);
    conv2d_chain_forward(cuda, l.dims(), {s[x], {nullptr, nullptr, s[scale], s[shift]}, {}}, filters, s[bias], s[y], &statistics);
  };
  const auto one_by_one = [=](Context& cuda, const Set& s) {
    batch_norm_apply<float>(cuda, {l.in_rows, l.d.c}, s[x], s[scale], s[shift], {true, {}}, s[seen]);
    conv2d_forward(cuda, l.dims(), s[seen], s[w], s[bias], s[y]);
    batch_norm_of_batch<float>(cuda, {l.out_rows, outs}, s[y], {eps, s[norm_w], s[norm_b]}, {}, s[variance], factors(s));
  };
  both_ways<Context>(c, fused, one_by_one);
  c.naive([=]<class V>(V& v) {
    using Real = typename V::Real;
    v.all(l.in, seen, ApplyFormula<Real>{l.d.c, v[x], v[scale], v[shift], true, {}, 0, 1});
    v.all(l.out, y, ConvFormula<Real, Real>{l.d, v.made(seen), v[w], v[bias]});
    v.each(outs, mean, ChannelMeanFormula<Real, Real>{l.out_rows, outs, v.made(y)});
    v.each(outs, variance, ChannelVarianceFormula<Real, Real>{l.out_rows, outs, v.made(y), v.made(mean)});
    v.each(outs, inverse, InverseDeviationFormula<Real>{eps, v.made(variance)});
  });
}

// Values of x, and x · scale + shift, which is never so close to 0 that rounding would say where the ReLU was active.
float value(i64 i) { return static_cast<float>(static_cast<std::uint64_t>(i) * 0x9e3779b97f4a7c15U >> 57) / 64 - 127.0F / 128; }
float scale_of(i64 channel) { return static_cast<float>(2 * channel + 17) / 32; }
float shift_of(i64 channel) { return static_cast<float>(channel - 8) / 16; }

// Both gradients of the convolution, from that of the batch norm's output behind it to that of the batch norm's before it, with the
// gradients of its parameters.
template <class Context>
void backward(Cases<Context>& cases, const Layer& l) {
  auto& c = cases.add("backward" + l.of);
  const i64 ins = l.d.c, outs = l.d.o;
  const auto prepared = [&](i64 n, float (*f)(i64)) {
    return c.template prepared<float>(n, [=](float* p) {
      for (i64 i = 0; i < n; ++i) p[i] = f(i);
    });
  };
  const auto g = c.input(l.out), y = c.input(l.out), y_mean = c.input(outs), slopes = c.input(3 * outs), w = c.input(l.filter);
  const auto x = prepared(l.in, value), scale = prepared(ins, scale_of), shift = prepared(ins, shift_of);
  const auto mean = c.input(ins), inverse = c.input(ins, 1.5, 2), norm_w = c.input(ins, 0.5, 1.5);
  const auto gx = c.output(l.in), gw = c.output(l.filter), norm_gw = c.output(ins), norm_gb = c.output(ins), norm_slopes = c.output(3 * ins);
  const auto gy = c.scratch(l.out), g_seen = c.scratch(l.in), packed = c.scratch(conv2d_chain_filter_floats(l.dims()));
  const double bytes = c.bytes;
  const auto seen = prepared(l.in, [](i64 i) { return std::max(value(i) * scale_of(i % 16) + shift_of(i % 16), 0.0F); });
  c.bytes = bytes;  // what forward kept is read by one kernel after another only
  c.flops = 2 * l.flops;
  const auto gradient = [=](const Set& s) { return ChainGradient{s[g], s[y], s[y_mean], s[slopes]}; };
  const auto by = [=](const Set& s) { return BatchNormFactors<float>{s[mean], s[inverse], s[scale], s[shift]}; };
  const auto norm = [=](const Set& s) { return ChainNormGradients{s[norm_w], true, s[norm_gw], s[norm_gb], s[norm_slopes], nullptr}; };
  const auto fused = [=](Context& cuda, const Set& s) {
    const ChainNormGradients of_norm = norm(s);
    const ChainFilters filters = conv2d_chain_pack_filters(cuda, l.dims(), s[w], s[packed]);
    conv2d_chain_backward(cuda, l.dims(), gradient(s), {s[x], by(s), {}}, filters, s[gx], s[gw], &of_norm);
  };
  const auto one_by_one = [=](Context& cuda, const Set& s) {
    conv2d_chain_input_gradient(cuda, {l.out_rows, outs}, gradient(s), s[gy]);
    conv2d_backward(cuda, l.dims(), s[seen], s[gy], s[w], s[g_seen], s[gw], static_cast<float*>(nullptr));
    conv2d_chain_reached(cuda, {l.in_rows, ins}, s[x], nullptr, s[g_seen], by(s), {}, s[gx], norm(s));
  };
  both_ways<Context>(c, fused, one_by_one);
  c.naive([=]<class V>(V& v) {
    using Real = typename V::Real;
    v.all(l.out, gy, UndoneFormula<Real>{outs, v[g], v[y], v[y_mean], v[slopes]});
    v.all(l.in, g_seen, ConvDataGradientFormula<Real, Real>{l.d, v.made(gy), v[w]});
    v.all(l.in, gx, MaskedFormula<Real>{ins, v[x], v[scale], v[shift], v.made(g_seen)});
    v.all(l.in, seen, ApplyFormula<Real>{ins, v[x], v[scale], v[shift], true, {}, 0, 1});
    v.each(l.filter, gw, ConvWeightGradientFormula<Real, Real>{l.d, v.made(seen), v.made(gy)});
    v.each(ins, norm_gb, BiasGradientFormula<Real, Real>{l.in_rows, ins, nullptr, v.made(gx), 1});
    v.each(ins, norm_gw, ScaleGradientFormula<Real, Real>{l.in_rows, ins, v[x], nullptr, v.made(gx), v[mean], v[inverse], 1});
    v.each(3 * ins, norm_slopes, SlopeFormula<Real>{l.in_rows, ins, v[inverse], v[norm_w], v.made(norm_gw), v.made(norm_gb)});
  });
}

}  // namespace

template <class Context>
void chain(Cases<Context>& cases) {
  if constexpr (on_cuda<Context>) {
    const auto layer = [&](const std::string& name, const ConvSizes& d) { forward(cases, {name, d}), backward(cases, {name, d}); };
    if (cases.sizes == Sizes::small) return layer("c4", {2, 16, 7, 7, 32, 3});
    const int n = cases.sizes == Sizes::network ? 128 : 512;
    layer("c2", {n, 16, 26, 26, 16, 3});  // gap-19k's
    layer("c3", {n, 16, 24, 24, 16, 3});
    layer("c4", {n, 16, 22, 22, 32, 3});
  }
}

}  // namespace mica::bench::families

MICA_FAMILY(chain)
