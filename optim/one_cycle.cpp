#include <mica/core/error.h>
#include <mica/optim/one_cycle.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mica {
namespace {

// How far step is from the beginning of a phase, at 0, to its end, at 1.
struct Phase {
  std::size_t number;
  double part;
};

Phase phase_at(const OneCycleOptions& o, std::int64_t step) {
  const double all = static_cast<double>(o.total_steps), at = static_cast<double>(step);
  std::vector<double> ends{o.pct_start * all - 1};
  if (o.three_phase) ends.push_back(2 * o.pct_start * all - 2);
  ends.push_back(all - 1);
  std::size_t number = 0;
  while (number + 1 < ends.size() && at > ends[number]) ++number;
  const double begin = number == 0 ? 0 : ends[number - 1], end = ends[number];
  return {number, end == begin ? 1 : (at - begin) / (end - begin)};
}

double anneal(AnnealStrategy strategy, double from, double to, double part) {
  if (strategy == AnnealStrategy::linear) return (to - from) * part + from;
  return to + (from - to) / 2 * (std::cos(std::numbers::pi * part) + 1);
}

}  // namespace

OneCycleLR::OneCycleLR(Optimizer& optimizer, const OneCycleOptions& options) : Schedule(optimizer), options_(options) {
  const OneCycleOptions& o = options_;
  if (o.total_steps < 1)
    throw Error(fmt::format("OneCycleLR: expected total_steps of 1 or more, batches an epoch times epochs, got {}", o.total_steps));
  if (!(o.pct_start >= 0 && o.pct_start <= 1)) throw Error(fmt::format("OneCycleLR: expected a pct_start from 0 to 1, got {}", o.pct_start));
  if (!(o.div_factor > 0) || !(o.final_div_factor > 0))
    throw Error(fmt::format("OneCycleLR: expected div_factor and final_div_factor above 0, got {} and {}", o.div_factor, o.final_div_factor));
  if (o.max_lr.size() != 1 && o.max_lr.size() != base_.size())
    throw Error(fmt::format("OneCycleLR: expected one max_lr, or one for each of {} groups, got {}", base_.size(), o.max_lr.size()));
  if (o.cycle_momentum)
    for (std::size_t group = 0; group < base_.size(); ++group) optimizer.momentum(group);  // an Error before anything is changed
  begin();
}

void OneCycleLR::update(std::int64_t epoch, std::optional<double>) {
  if (epoch > options_.total_steps)
    throw Error(fmt::format("OneCycleLR: this is step {}, but total_steps is {}; give the batches of all epochs, and step once a batch", epoch,
                            options_.total_steps));
  set(epoch);
}

void OneCycleLR::set(std::int64_t step) {
  const OneCycleOptions& o = options_;
  const auto [number, part] = phase_at(o, step);
  const auto between = [&, k = number, p = part](const std::vector<double>& ends) { return anneal(o.anneal_strategy, ends[k], ends[k + 1], p); };
  for (std::size_t group = 0; group < base_.size(); ++group) {
    const double most = o.max_lr[o.max_lr.size() == 1 ? 0 : group], first = most / o.div_factor, last = first / o.final_div_factor;
    const double rate = between(o.three_phase ? std::vector{first, most, first, last} : std::vector{first, most, last});
    optimizer_.set_lr(group, std::max(rate, 0.0));  // the step after the last batch goes beyond the end
    if (o.cycle_momentum) {
      const double high = o.max_momentum, low = o.base_momentum;
      optimizer_.set_momentum(group, between(o.three_phase ? std::vector{high, low, high, high} : std::vector{high, low, high}));
    }
  }
}

}  // namespace mica
