#include "layer_norm.h"

#include "../families.h"
#include "batch_norm.h"
#include "reduction.h"

#include <mica/kernels/layer_norm.h>

namespace mica::bench::families {

using namespace kernels;

namespace {

constexpr double eps = 1e-5;

template <class Context>
void forward(Cases<Context>& cases, i64 rows, i64 n) {
  auto& c = cases.add("forward " + shape({rows, n}));
  const auto x = c.input(rows * n, -1, 2), w = c.input(n, 0.5, 1.5), b = c.input(n);
  const auto y = c.output(rows * n), mean = c.output(rows), inverse = c.output(rows);
  const auto variance = c.scratch(rows);
  c.flops = 7.0 * static_cast<double>(rows * n);
  c.native([=](Context& context, const Set& s) {
    layer_norm_forward<float>(context, rows, n, eps, s[x], s[w], s[b], s[y], s[mean], s[inverse]);
  });
  c.naive([=]<class V>(V& v) {
    using Real = typename V::Real;
    v.each(rows, mean, RowMeanFormula<Real>{n, v[x]});
    v.each(rows, variance, RowVarianceFormula<Real>{n, v[x], v.made(mean)});
    v.each(rows, inverse, InverseDeviationFormula<Real>{eps, v.made(variance)});
    v.each(rows * n, y, LayerNormFormula<Real>{n, v[x], v[w], v[b], v.made(mean), v.made(inverse)});
  });
}

template <class Context>
void backward(Cases<Context>& cases, i64 rows, i64 n) {
  auto& c = cases.add("backward " + shape({rows, n}));
  const auto x = c.input(rows * n), w = c.input(n, 0.5, 1.5), mean = c.input(rows, -0.1F, 0.1F), inverse = c.input(rows, 1.5, 2);
  const auto gy = c.input(rows * n), gx = c.output(rows * n), gw = c.output(n), gb = c.output(n);
  const auto mean_h = c.scratch(rows), mean_h_x = c.scratch(rows);
  c.flops = 13.0 * static_cast<double>(rows * n);
  c.native([=](Context& context, const Set& s) {
    layer_norm_backward<float>(context, rows, n, s[x], s[w], s[mean], s[inverse], s[gy], s[gx], s[gw], s[gb]);
  });
  c.naive([=]<class V>(V& v) {
    using Real = typename V::Real;
    v.each(rows, mean_h, RowGradientMeanFormula<Real>{n, false, v[x], v[w], v[mean], v[inverse], v[gy]});
    v.each(rows, mean_h_x, RowGradientMeanFormula<Real>{n, true, v[x], v[w], v[mean], v[inverse], v[gy]});
    v.each(rows * n, gx, LayerNormGradientFormula<Real>{n, v[x], v[w], v[mean], v[inverse], v[gy], v.made(mean_h), v.made(mean_h_x)});
    v.each(n, gw, LayerScaleGradientFormula<Real>{rows, n, v[x], v[mean], v[inverse], v[gy]});
    v.each(n, gb, SumFormula<Real>{rows, 1, n, v[gy]});
  });
}

}  // namespace

template <class Context>
void layer_norm(Cases<Context>& cases) {
  const i64 rows = cases.pick(9, 4096, 32768), n = cases.pick(67, 768, 1024);
  forward(cases, rows, n);
  backward(cases, rows, n);
}

}  // namespace mica::bench::families

MICA_FAMILY(layer_norm)
