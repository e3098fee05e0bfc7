#include "optimizer.h"

#include "../families.h"

#include <mica/kernels/optimizer.h>

#include <numeric>

namespace mica::bench::families {

using namespace kernels;

namespace {

// Parameters of gap-19k: filters, then biases, weights and biases of norms; rounded up to fours, so that each begins at 16 bytes.
std::vector<i64> gap_19k_sizes() {
  std::vector<i64> sizes;
  for (const auto& [in, out] : {std::pair<i64, i64>{9, 16}, {144, 16}, {144, 16}, {144, 32}, {144, 16}, {144, 16}, {144, 32}})
    for (const i64 size : {in * out, out, out, out}) sizes.push_back(size);
  for (const i64 size : {32 * 16, 16, 32 * 10, 12}) sizes.push_back(size);
  return sizes;
}

template <class Context>
void sgd(Cases<Context>& cases, const std::string& of, const std::vector<i64>& sizes) {
  const i64 n = std::accumulate(sizes.begin(), sizes.end(), i64{0});
  const SgdSettings settings{0.05, 0.9, 0, 0, false};
  auto& c = cases.add("sgd with momentum, " + of);
  const auto gradient = c.input(n), buffer = c.in_out(n), parameter = c.in_out(n);
  c.flops = 4.0 * static_cast<double>(n);
  c.native([=](Context& context, const Set& s) {
    std::vector<SgdSlot<float>> slots;
    i64 at = 0;
    for (const i64 size : sizes) slots.push_back({size, s[parameter] + at, s[gradient] + at, s[buffer] + at, false}), at += size;
    sgd_step(context, settings, std::span<const SgdSlot<float>>(slots));
  });
  c.naive([=]<class V>(V& v) {
    using Real = typename V::Real;
    v.each(n, buffer, MomentumFormula<Real>{settings.momentum.value, v[buffer], v[gradient]});
    v.each(n, parameter, SgdFormula<Real>{0.05, v[parameter], v.made(buffer)});
  });
}

template <class Context>
void adam(Cases<Context>& cases, const std::string& of, const std::vector<i64>& sizes) {
  const i64 n = std::accumulate(sizes.begin(), sizes.end(), i64{0}), step = 10;
  const AdamSettings settings{0.9, 0.999, 1e-8, 0};
  const AdamBias<double> bias(1e-3, settings.beta1.value, settings.beta2, step);
  auto& c = cases.add("adam, " + of);
  const auto gradient = c.input(n), mean = c.in_out(n), square = c.in_out(n, 0.1F, 1), parameter = c.in_out(n);
  c.flops = 12.0 * static_cast<double>(n);
  c.native([=](Context& context, const Set& s) {
    std::vector<AdamSlot<float>> slots;
    i64 at = 0;
    for (const i64 size : sizes) {
      slots.push_back({size, s[parameter] + at, s[gradient] + at, s[mean] + at, s[square] + at,
                       GraphValue<AdamBias<float>>(AdamBias<float>(1e-3, settings.beta1.value, settings.beta2, step))});
      at += size;
    }
    adam_step(context, settings, std::span<const AdamSlot<float>>(slots));
  });
  c.naive([=]<class V>(V& v) {
    using Real = typename V::Real;
    v.each(n, mean, MovingAverageFormula<Real>{settings.beta1.value, false, v[mean], v[gradient]});
    v.each(n, square, MovingAverageFormula<Real>{settings.beta2, true, v[square], v[gradient]});
    v.each(n, parameter, AdamFormula<Real>{bias.rate, bias.scale, settings.eps, v[parameter], v.made(mean), v.made(square)});
  });
}

}  // namespace

template <class Context>
void optimizer(Cases<Context>& cases) {
  const std::vector<i64> network = gap_19k_sizes(), large(16, i64{4} << 20);
  sgd(cases, "gap-19k's parameters", network);
  adam(cases, "gap-19k's parameters", network);
  if (cases.sizes != Sizes::large) return;
  sgd(cases, "16 of 4194304", large);
  adam(cases, "16 of 4194304", large);
}

}  // namespace mica::bench::families

MICA_FAMILY(optimizer)
