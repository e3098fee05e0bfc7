#include "elementwise.h"

#include "../families.h"

#include <mica/kernels/elementwise.h>

namespace mica::bench::families {

using namespace kernels;

template <class Context>
void elementwise(Cases<Context>& cases) {
  const i64 n = cases.pick(1003, 128 * 26 * 26 * 16, 64 << 20);
  const std::string of = " " + std::to_string(n);
  {
    auto& c = cases.add("relu" + of);
    const auto x = c.input(n), y = c.output(n);
    c.flops = static_cast<double>(n);
    c.native([=](Context& context, const Set& s) { unary_forward(context, Relu{}, n, s[x], s[y]); });
    c.naive([=]<class V>(V& v) { v.each(n, y, ReluFormula<typename V::Real>{v[x]}); });
  }
  {
    auto& c = cases.add("relu gradient" + of);
    const auto y = c.input(n), gy = c.input(n), gx = c.output(n);
    c.flops = static_cast<double>(n);
    c.native([=](Context& context, const Set& s) { unary_backward(context, Relu{}, n, s[y], s[gy], s[gx]); });
    c.naive([=]<class V>(V& v) { v.each(n, gx, ReluGradientFormula<typename V::Real>{v[y], v[gy]}); });
  }
  {
    auto& c = cases.add("sigmoid" + of);
    const auto x = c.input(n, -6, 6), y = c.output(n);
    c.native([=](Context& context, const Set& s) { unary_forward(context, Sigmoid{}, n, s[x], s[y]); });
    c.naive([=]<class V>(V& v) { v.each(n, y, SigmoidFormula<typename V::Real>{v[x]}); });
  }
  {
    auto& c = cases.add("gelu" + of);
    const auto x = c.input(n, -4, 4), y = c.output(n);
    c.native([=](Context& context, const Set& s) { unary_forward(context, Gelu{}, n, s[x], s[y]); });
    c.naive([=]<class V>(V& v) { v.each(n, y, GeluFormula<typename V::Real>{v[x]}); });
  }
  {
    auto& c = cases.add("add" + of);
    const auto a = c.input(n), b = c.input(n), y = c.output(n);
    c.flops = static_cast<double>(n);
    c.native([=](Context& context, const Set& s) { binary_forward(context, Add{}, 1, {n}, {1}, s[a], {1}, s[b], s[y]); });
    c.naive([=]<class V>(V& v) { v.each(n, y, AddFormula<typename V::Real>{v[a], v[b]}); });
  }
}

}  // namespace mica::bench::families

MICA_FAMILY(elementwise)
