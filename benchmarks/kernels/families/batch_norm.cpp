#include "batch_norm.h"

#include "../families.h"

#include <mica/kernels/batch_norm.h>

namespace mica::bench::families {

using namespace kernels;

namespace {

constexpr double eps = 1e-5, inverse_deviation = 1.5;
const RandomKey key{7, 11, 3};

std::string of(const BatchNormDims& d) { return " " + shape({d.rows, d.channels}); }

// Of a batch, as the first half of a training forward.
template <class Context>
void statistics(Cases<Context>& cases, const BatchNormDims& d) {
  auto& c = cases.add("statistics" + of(d));
  const auto x = c.input(d.rows * d.channels, -1, 2), w = c.input(d.channels, 0.5, 1.5), b = c.input(d.channels);
  const auto mean = c.output(d.channels), variance = c.output(d.channels), inverse = c.output(d.channels);
  const auto scale = c.scratch(d.channels), shift = c.scratch(d.channels);
  c.flops = 3.0 * static_cast<double>(d.rows * d.channels);
  c.native([=](Context& context, const Set& s) {
    const NewBatchNormFactors<float> factors{s[mean], s[inverse], s[scale], s[shift]};
    batch_norm_of_batch(context, d, s[x], {eps, s[w], s[b]}, RunningStatistics<float>{}, s[variance], factors);
  });
  c.naive([=]<class V>(V& v) {
    using Real = typename V::Real;
    v.each(d.channels, mean, ChannelMeanFormula<Real>{d.rows, d.channels, v[x]});
    v.each(d.channels, variance, ChannelVarianceFormula<Real>{d.rows, d.channels, v[x], v.made(mean)});
    v.each(d.channels, inverse, InverseDeviationFormula<Real>{eps, v.made(variance)});
  });
}

// Statistics and apply, which is what cuDNN does in one call.
template <class Context>
void training(Cases<Context>& cases, const BatchNormDims& d) {
  const i64 n = d.rows * d.channels;
  auto& c = cases.add("training forward" + of(d));
  const auto x = c.input(n, -1, 2), w = c.input(d.channels, 0.5, 1.5), b = c.input(d.channels);
  const auto mean = c.output(d.channels), inverse = c.output(d.channels), y = c.output(n);
  const auto variance = c.scratch(d.channels), scale = c.scratch(d.channels), shift = c.scratch(d.channels);
  c.bytes += 4.0 * static_cast<double>(n);  // x twice: its statistics come before what is made of them
  c.flops = 5.0 * static_cast<double>(n);
  c.native([=](Context& context, const Set& s) {
    const NewBatchNormFactors<float> factors{s[mean], s[inverse], s[scale], s[shift]};
    batch_norm_of_batch(context, d, s[x], {eps, s[w], s[b]}, RunningStatistics<float>{}, s[variance], factors);
    batch_norm_apply(context, d, s[x], s[scale], s[shift], Epilogue{}, s[y]);
  });
  if (on_cuda<Context>)
    c.library("cuDNN", [=](Context& context, const Set& s) {
      const NewBatchNormFactors<float> factors{s[mean], s[inverse], s[scale], s[shift]};
      (void)batch_norm_by_cudnn(context, d, s[x], {eps, s[w], s[b]}, RunningStatistics<float>{}, true, factors, s[y]);
    });
  c.naive([=]<class V>(V& v) {
    using Real = typename V::Real;
    v.each(d.channels, mean, ChannelMeanFormula<Real>{d.rows, d.channels, v[x]});
    v.each(d.channels, variance, ChannelVarianceFormula<Real>{d.rows, d.channels, v[x], v.made(mean)});
    v.each(d.channels, inverse, InverseDeviationFormula<Real>{eps, v.made(variance)});
    v.each(n, y, NormalizeFormula<Real>{d.channels, v[x], v[w], v[b], v.made(mean), v.made(inverse)});
  });
}

template <class Context>
void apply(Cases<Context>& cases, const BatchNormDims& d, const std::string& name, const Epilogue& epilogue) {
  const i64 n = d.rows * d.channels;
  auto& c = cases.add(name + of(d));
  const auto x = c.input(n), scale = c.input(d.channels, 0.5, 1.5), shift = c.input(d.channels), y = c.output(n);
  c.flops = 2.0 * static_cast<double>(n);
  c.native([=](Context& context, const Set& s) { batch_norm_apply(context, d, s[x], s[scale], s[shift], epilogue, s[y]); });
  const auto threshold = static_cast<std::uint32_t>(epilogue.dropout.threshold());
  c.naive([=]<class V>(V& v) {
    v.each(n, y,
           ApplyFormula<typename V::Real>{d.channels, v[x], v[scale], v[shift], epilogue.relu, epilogue.dropout.key, threshold,
                                          epilogue.dropout.scale()});
  });
}

template <class Context>
void backward(Cases<Context>& cases, const BatchNormDims& d, const std::string& name, const Epilogue& epilogue) {
  const i64 n = d.rows * d.channels;
  const bool masked = epilogue.dropout.p > 0;
  const double kept_scale = masked ? epilogue.dropout.scale() : 1;
  const auto row = [&](float first, float step) {
    return [=, count = d.channels](float* p) {
      for (i64 c = 0; c < count; ++c) p[c] = first + step * static_cast<float>(c);
    };
  };
  auto& c = cases.add(name + of(d));
  const auto x = c.input(n), gy = c.input(n), y = masked ? c.input(n) : c.scratch(1);
  const auto mean = c.template prepared<float>(d.channels, row(0.01F, 0.01F)),
             inverse = c.template prepared<float>(d.channels, row(inverse_deviation, 0));
  const auto w = c.template prepared<float>(d.channels, row(0.5F, 0.0625F)),
             scale = c.template prepared<float>(d.channels, row(0.75F, 0.09375F));
  const auto shift = c.template prepared<float>(d.channels, row(0.1F, 0.01F));
  const auto gw = c.output(d.channels), gb = c.output(d.channels), gx = c.output(n);
  c.bytes += 4.0 * static_cast<double>(n) * (masked ? 3 : 2);  // the sums gw and gb come before gx, which they are part of
  c.flops = 9.0 * static_cast<double>(n);
  c.native([=](Context& context, const Set& s) {
    batch_norm_backward(context, d, s[x], masked ? s[y] : nullptr, s[gy], {s[mean], s[inverse], s[scale], s[shift]}, s[w], true, epilogue,
                        s[gx], s[gw], s[gb]);
  });
  if (on_cuda<Context> && !masked)
    c.library("cuDNN", [=](Context& context, const Set& s) {
      const BatchNormFactors<float> factors{s[mean], s[inverse], s[scale], s[shift]};
      (void)batch_norm_backward_by_cudnn(context, d, s[x], s[gy], eps, factors, s[w], s[gx], s[gw], s[gb]);
    });
  c.naive([=]<class V>(V& v) {
    using Real = typename V::Real;
    const float* made_y = masked ? v[y] : nullptr;
    v.each(d.channels, gb, BiasGradientFormula<Real>{d.rows, d.channels, made_y, v[gy], kept_scale});
    v.each(d.channels, gw, ScaleGradientFormula<Real>{d.rows, d.channels, v[x], made_y, v[gy], v[mean], v[inverse], kept_scale});
    v.each(n, gx,
           NormGradientFormula<Real>{d.rows, d.channels, v[x], made_y, v[gy], v[mean], v[inverse], v[scale], v.made(gw), v.made(gb),
                                     kept_scale});
  });
}

}  // namespace

template <class Context>
void batch_norm(Cases<Context>& cases) {
  const i64 pixels = cases.pick(2 * 49, 128 * 26 * 26, 4 << 20);
  const Dropout dropout{0.1, key};
  statistics(cases, {pixels, 16});
  training(cases, {pixels, 16});
  apply(cases, {pixels, 16}, "apply", {});
  apply(cases, {pixels, 16}, "apply + relu", {true, {}});
  apply(cases, {pixels, 16}, "apply + relu + dropout", {true, dropout});
  backward(cases, {pixels, 16}, "backward", {});
  backward(cases, {pixels, 16}, "backward of relu + dropout too", {true, dropout});
  if (cases.sizes == Sizes::network) apply(cases, {128 * 20 * 20, 32}, "apply + relu + dropout", {true, dropout});
}

}  // namespace mica::bench::families

MICA_FAMILY(batch_norm)
