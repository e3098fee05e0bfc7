#include "loss.h"

#include "../families.h"

#include <mica/kernels/cross_entropy.h>
#include <mica/kernels/softmax.h>

namespace mica::bench::families {

using namespace kernels;

namespace {

template <class Context>
void forward(Cases<Context>& cases, i64 lines, i64 length, bool logarithm) {
  const SoftmaxDims d{lines, length, 1};
  auto& c = cases.add((logarithm ? "log_softmax " : "softmax ") + shape({lines, length}));
  const auto x = c.input(lines * length, -5, 5), y = c.output(lines * length);
  const auto most = c.scratch(lines), sum = c.scratch(lines);
  native_and_cudnn(c, [=](Context& context, const Set& s) {
    logarithm ? log_softmax_forward(context, d, s[x], s[y]) : softmax_forward(context, d, s[x], s[y]);
  });
  c.naive([=]<class V>(V& v) {
    using Real = typename V::Real;
    v.each(lines, most, LineMaxFormula<Real>{length, v[x]});
    v.each(lines, sum, LineSumFormula<Real>{length, v[x], v.made(most)});
    v.each(lines * length, y, SoftmaxFormula<Real>{length, logarithm, v[x], v.made(most), v.made(sum)});
  });
}

template <class Context>
void backward(Cases<Context>& cases, i64 lines, i64 length, bool logarithm) {
  const SoftmaxDims d{lines, length, 1};
  auto& c = cases.add((logarithm ? "log_softmax gradient " : "softmax gradient ") + shape({lines, length}));
  const auto y = logarithm ? c.input(lines * length, -5, -1) : c.input(lines * length, 0, 1), gy = c.input(lines * length),
             gx = c.output(lines * length);
  const auto dot = c.scratch(lines);
  native_and_cudnn(c, [=](Context& context, const Set& s) {
    logarithm ? log_softmax_backward(context, d, s[y], s[gy], s[gx]) : softmax_backward(context, d, s[y], s[gy], s[gx]);
  });
  c.naive([=]<class V>(V& v) {
    using Real = typename V::Real;
    v.each(lines, dot, LineDotFormula<Real>{length, logarithm, v[y], v[gy]});
    v.each(lines * length, gx, SoftmaxGradientFormula<Real>{length, logarithm, v[y], v[gy], v.made(dot)});
  });
}

// Both ways: backward reads what forward kept.
template <class Context>
void cross_entropy(Cases<Context>& cases, i64 lines, i64 length) {
  auto& c = cases.add("cross_entropy and gradient " + shape({lines, length}));
  const auto x = c.input(lines * length, -5, 5);
  const auto target = c.template whole<i64>(lines, length);
  const auto gloss = c.template prepared<float>(1, [](float* p) { *p = 1; });
  const auto loss = c.output(1), gx = c.output(lines * length);
  const auto kept = c.scratch(2 * lines), most = c.scratch(lines), sum = c.scratch(lines);
  const auto total = c.template workspace<double>(1);
  c.bytes += 4.0 * static_cast<double>(lines * length);  // scores are read by both
  c.native([=](Context& context, const Set& s) {
    const CrossEntropy<float> call{{lines, length, 1, -100, Reduction::mean}, 0, s[x], s[target], nullptr};
    cross_entropy_forward(context, call, s[kept], s[total], s[loss]);
    cross_entropy_backward(context, call, s[kept], s[total], s[gloss], s[gx]);
  });
  c.naive([=]<class V>(V& v) {
    using Real = typename V::Real;
    v.each(lines, most, LineMaxFormula<Real>{length, v[x]});
    v.each(lines, sum, LineSumFormula<Real>{length, v[x], v.made(most)});
    v.each(1, loss, CrossEntropyFormula<Real>{lines, length, v[x], v[target], v.made(most), v.made(sum)});
    v.each(lines * length, gx, CrossEntropyGradientFormula<Real>{lines, length, v[x], v[target], v.made(most), v.made(sum)});
  });
}

}  // namespace

template <class Context>
void loss(Cases<Context>& cases) {
  const i64 lines = cases.pick(7, 128, 4096), many = cases.pick(3, 1024, 8192), classes = cases.pick(67, 1000, 8192);
  forward(cases, lines, 10, true);
  backward(cases, lines, 10, true);
  forward(cases, many, classes, false);
  backward(cases, many, classes, false);
  cross_entropy(cases, lines, 10);
  cross_entropy(cases, many, classes);
}

}  // namespace mica::bench::families

MICA_FAMILY(loss)
