#include "conv2d.h"

#include "../families.h"
#include "reduction.h"

#include <mica/kernels/conv2d.h>

namespace mica::bench::families {

using namespace kernels;

namespace {

// Does conv2d_tensor.h do it, on a device that has tensor cores?
template <class Context>
bool on_tensor_cores(const ConvSizes& d) {
  return on_cuda<Context> && d.k == 3 && d.c == 16 && (d.o == 16 || d.o == 32);
}

// One call, which the policy gives to our kernel or to a library.
template <class Context>
void by_all(Case<Context>& c, const ConvSizes& d, const typename Case<Context>::Run& run) {
  const bool tensor_cores = on_tensor_cores<Context>(d);
  c.native(run, tensor_cores ? Products::three_tf32 : Products::f32);
  c.library(on_cuda<Context> ? "cuDNN" : "oneDNN", run);
  if (tensor_cores) c.native(run, Products::tf32);
  if (on_cuda<Context>) c.library("cuDNN", run, Products::tf32);
}

// The forward pass and the gradients of one layer.
template <class Context>
void layer(Cases<Context>& cases, const std::string& name, const ConvSizes& d) {
  const Conv2dDims dims{d.n, d.c, d.h, d.w, d.o, d.k, d.k, d.oh(), d.ow(), {1, 1}, {0, 0}, {1, 1}, 1};
  const i64 in = i64{d.n} * d.h * d.w * d.c, out = i64{d.n} * d.oh() * d.ow() * d.o, filter = i64{d.o} * d.k * d.k * d.c;
  const std::string of = " " + name + " " + shape({d.n, d.h, d.w, d.c}) + " to " + std::to_string(d.o) + ", " + shape({d.k, d.k});
  const double flops = 2.0 * static_cast<double>(out) * d.k * d.k * d.c;
  {
    auto& c = cases.add("forward" + of);
    const auto x = c.input(in), w = c.input(filter), bias = c.input(d.o), y = c.output(out);
    c.flops = flops;
    const auto run = [=](Context& context, const Set& s) { conv2d_forward(context, dims, s[x], s[w], s[bias], s[y]); };
    by_all(c, d, run);
    c.naive([=]<class V>(V& v) { v.each(out, y, ConvFormula<typename V::Real>{d, v[x], v[w], v[bias]}); });
  }
  if (d.c > 1) {  // the first layer's images need no gradient
    auto& c = cases.add("data gradient" + of);
    const auto gy = c.input(out), w = c.input(filter), x = c.scratch(in), gx = c.output(in);
    c.flops = flops;
    const auto run = [=](Context& context, const Set& s) {
      conv2d_backward(context, dims, s[x], s[gy], s[w], s[gx], static_cast<float*>(nullptr), static_cast<float*>(nullptr));
    };
    by_all(c, d, run);
    c.naive([=]<class V>(V& v) { v.each(in, gx, ConvDataGradientFormula<typename V::Real>{d, v[gy], v[w]}); });
  }
  {
    auto& c = cases.add("weight gradient" + of);
    const auto gy = c.input(out), x = c.input(in), w = c.scratch(filter), gw = c.output(filter), gb = c.output(d.o);
    c.flops = flops;
    const auto run = [=](Context& context, const Set& s) {
      conv2d_backward(context, dims, s[x], s[gy], s[w], static_cast<float*>(nullptr), s[gw], s[gb]);
    };
    by_all(c, d, run);
    c.naive([=]<class V>(V& v) {
      v.each(filter, gw, ConvWeightGradientFormula<typename V::Real>{d, v[x], v[gy]});
      v.each(d.o, gb, SumFormula<typename V::Real>{out / d.o, 1, d.o, v[gy]});
    });
  }
  if (on_tensor_cores<Context>(d)) {  // both from one load
    auto& c = cases.add("gradients" + of);
    const auto gy = c.input(out), x = c.input(in), w = c.input(filter), gx = c.output(in), gw = c.output(filter), gb = c.output(d.o);
    c.flops = 2 * flops;
    by_all(c, d, [=](Context& context, const Set& s) { conv2d_backward(context, dims, s[x], s[gy], s[w], s[gx], s[gw], s[gb]); });
    c.naive([=]<class V>(V& v) {
      v.each(in, gx, ConvDataGradientFormula<typename V::Real>{d, v[gy], v[w]});
      v.each(filter, gw, ConvWeightGradientFormula<typename V::Real>{d, v[x], v[gy]});
      v.each(d.o, gb, SumFormula<typename V::Real>{out / d.o, 1, d.o, v[gy]});
    });
  }
}

}  // namespace

// The layers of gap-19k.
template <class Context>
void conv2d(Cases<Context>& cases) {
  if (cases.sizes == Sizes::small) {
    layer(cases, "c1", {2, 1, 9, 9, 16, 3});
    layer(cases, "c3", {2, 16, 7, 7, 16, 3});
    layer(cases, "c4", {2, 16, 7, 7, 32, 3});
    return layer(cases, "c5", {2, 32, 5, 5, 16, 1});
  }
  const int n = cases.sizes == Sizes::network ? 128 : 512;
  layer(cases, "c1", {n, 1, 28, 28, 16, 3});
  layer(cases, "c2", {n, 16, 26, 26, 16, 3});
  layer(cases, "c3", {n, 16, 24, 24, 16, 3});
  layer(cases, "c4", {n, 16, 22, 22, 32, 3});
  layer(cases, "c5", {n, 32, 20, 20, 16, 1});
  layer(cases, "c6", {n, 16, 10, 10, 16, 3});
  layer(cases, "c7", {n, 16, 8, 8, 16, 3});
  layer(cases, "c8", {n, 16, 6, 6, 32, 3});
}

}  // namespace mica::bench::families

MICA_FAMILY(conv2d)
