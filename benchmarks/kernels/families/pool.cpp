#include "pool.h"

#include "../families.h"

#include <mica/kernels/pool.h>

namespace mica::bench::families {

using namespace kernels;

namespace {

template <class Context>
void windows(Cases<Context>& cases, const PoolSizes& d, bool largest) {
  const std::string of = " " + shape({d.n, d.h, d.w, d.c}) + ", " + shape({d.k, d.k});
  const std::string name = largest ? "max" : d.k == d.h ? "global average" : "average";
  const Pool2dDims dims{d.n, d.c, d.h, d.w, d.oh(), d.ow(), {d.k, d.k}, {d.k, d.k}, {0, 0}, {1, 1}};
  const AveragePool rule{.adaptive = d.k == d.h};
  const i64 in = i64{d.n} * d.h * d.w * d.c, out = in / d.k / d.k;
  {
    auto& c = cases.add(name + of);
    const auto x = c.input(in), y = c.output(out);
    c.flops = static_cast<double>(in);
    native_and_cudnn(c, [=](Context& context, const Set& s) {
      largest ? max_pool2d_forward(context, dims, s[x], s[y]) : avg_pool2d_forward(context, dims, rule, s[x], s[y]);
    });
    c.naive([=]<class V>(V& v) {
      using Real = typename V::Real;
      largest ? v.each(out, y, MaxPoolFormula<Real>{d, v[x]}) : v.each(out, y, AveragePoolFormula<Real>{d, v[x]});
    });
  }
  {
    auto& c = cases.add(name + " gradient" + of);
    const auto x = largest ? c.input(in) : c.scratch(1);
    const auto gy = c.input(out), gx = c.output(in);
    native_and_cudnn(c, [=](Context& context, const Set& s) {
      largest ? max_pool2d_backward(context, dims, s[x], s[gy], s[gx]) : avg_pool2d_backward(context, dims, rule, s[gy], s[gx]);
    });
    c.naive([=]<class V>(V& v) {
      using Real = typename V::Real;
      largest ? v.each(in, gx, MaxPoolGradientFormula<Real>{d, v[x], v[gy]}) : v.each(in, gx, AveragePoolGradientFormula<Real>{d, v[gy]});
    });
  }
}

}  // namespace

template <class Context>
void pool(Cases<Context>& cases) {
  const int n = static_cast<int>(cases.pick(2, 128, 2048)), side = static_cast<int>(cases.pick(6, 20, 20));
  windows(cases, {n, 16, side, side, 2}, true);  // gap-19k's
  windows(cases, {n, 16, side, side, 2}, false);
  windows(cases, {n, 32, 4, 4, 4}, false);  // its global average
}

}  // namespace mica::bench::families

MICA_FAMILY(pool)
