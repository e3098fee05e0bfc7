#include "dropout.h"

#include "../families.h"

#include <mica/core/error.h>
#include <mica/kernels/dropout.h>

#include <cmath>

namespace mica::bench::families {

using namespace kernels;

namespace {

// cuDNN's mask is its own: every value must be 0 or the input's, scaled, and as many of them 0 as chance allows (6 deviations).
double judge_mask(i64 n, double p, const float* x, const float* y) {
  double most = 0;
  i64 dropped = 0;
  for (i64 i = 0; i < n; ++i) {
    dropped += y[i] == 0;
    const double off = y[i] == 0 ? 0 : std::fabs(static_cast<double>(y[i]) - static_cast<double>(x[i]) / (1 - p));
    most = off <= most ? most : std::isnan(off) ? INFINITY : off;
  }
  const double expected = p * static_cast<double>(n), deviation = std::sqrt(expected * (1 - p));
  return std::fabs(static_cast<double>(dropped) - expected) <= 6 * deviation ? most : INFINITY;
}

}  // namespace

template <class Context>
void dropout(Cases<Context>& cases) {
  const i64 n = cases.pick(1003, 128 * 26 * 26 * 16, 64 << 20);
  const RandomKey key{1, 2, 3};
  {
    const Dropout d{0.1, key};
    auto& c = cases.add("dropout " + std::to_string(n));
    const auto x = c.input(n, 0.5, 1.5), y = c.output(n);
    c.native([=](Context& context, const Set& s) { kernels::dropout(context, n, d, s[x], s[y]); });
    if (on_cuda<Context>) {
      const auto reserve = c.template workspace<std::uint8_t>(n + 4096);  // cuDNN keeps its mask there: a bit or a byte a value
      c.library("cuDNN", [=](Context& context, const Set& s) {
        if (dropout_reserve_bytes<float>(context, n) > n + 4096)
          throw Error("dropout: cuDNN wants a larger reserve; enlarge it in benchmarks/kernels/families/dropout.cpp");
        (void)dropout_by_cudnn(context, n, GeneratedDropout{d.p, 1, 1}, s[x], s[y], s[reserve]);
      });
      c.implementations.back().judge = [=](const Set& before, const Set& after) { return judge_mask(n, d.p, before[x], after[y]); };
    }
    c.naive([=]<class V>(V& v) {
      v.each(n, y, DropoutFormula<typename V::Real>{key, static_cast<std::uint32_t>(d.threshold()), d.scale(), v[x]});
    });
  }
  {
    auto& c = cases.add("uniform " + std::to_string(n));
    const auto y = c.output(n);
    c.native([=](Context& context, const Set& s) { uniform(context, n, key, 0, 1, s[y]); });
    c.naive([=]<class V>(V& v) { v.each(n, y, UniformFormula<typename V::Real>{key}); });
  }
}

}  // namespace mica::bench::families

MICA_FAMILY(dropout)
