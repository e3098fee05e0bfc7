#include <mica/core/error.h>
#include <mica/optim/schedule.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace mica {

StepLR::StepLR(Optimizer& optimizer, std::int64_t step_size, double gamma)
    : optimizer_(optimizer), step_size_(step_size), gamma_(gamma) {
  if (step_size < 1) throw Error(fmt::format("StepLR: expected a step size of 1 epoch or more, got {}", step_size));
  for (std::size_t group = 0; group < optimizer.group_count(); ++group) base_.push_back(optimizer.lr(group));
}

void StepLR::update(std::optional<double>) {
  ++epoch_;
  for (std::size_t group = 0; group < base_.size(); ++group)
    optimizer_.set_lr(group, base_[group] * std::pow(gamma_, static_cast<double>(epoch_ / step_size_)));
}

ReduceLROnPlateau::ReduceLROnPlateau(Optimizer& optimizer, const PlateauOptions& options)
    : optimizer_(optimizer), options_(options),
      best_((options.mode == PlateauMode::min ? 1 : -1) * std::numeric_limits<double>::infinity()) {
  if (!(options.factor >= 0 && options.factor < 1))
    throw Error(fmt::format("ReduceLROnPlateau: expected a factor from 0 to below 1, got {}", options.factor));
  if (options.min_lr.size() != 1 && options.min_lr.size() != optimizer.group_count())
    throw Error(fmt::format("ReduceLROnPlateau: expected one min_lr, or one for each of {} groups, got {}", optimizer.group_count(),
                            options.min_lr.size()));
}

bool ReduceLROnPlateau::is_better(double metric) const {
  const double threshold = options_.threshold;
  const bool relative = options_.threshold_mode == ThresholdMode::relative;
  if (options_.mode == PlateauMode::min) return metric < (relative ? best_ * (1 - threshold) : best_ - threshold);
  return metric > (relative ? best_ * (1 + threshold) : best_ + threshold);
}

void ReduceLROnPlateau::update(std::optional<double> metric) {
  if (!metric) throw Error("ReduceLROnPlateau: step needs the epoch's metric; call step(metric)");
  if (is_better(*metric)) {
    best_ = *metric;
    bad_epochs_ = 0;
  } else {
    ++bad_epochs_;
  }
  if (cooldown_left_ > 0) {
    --cooldown_left_;
    bad_epochs_ = 0;
  }
  if (bad_epochs_ > options_.patience) {
    reduce();
    cooldown_left_ = options_.cooldown;
    bad_epochs_ = 0;
  }
}

void ReduceLROnPlateau::reduce() {
  const std::vector<double>& least = options_.min_lr;
  if (least.size() != 1 && least.size() != optimizer_.group_count())
    throw Error(fmt::format("ReduceLROnPlateau: the optimizer has {} groups now, but min_lr was given for {}; give one for all",
                            optimizer_.group_count(), least.size()));
  for (std::size_t group = 0; group < optimizer_.group_count(); ++group) {
    const double before = optimizer_.lr(group), after = std::max(before * options_.factor, least[least.size() == 1 ? 0 : group]);
    if (before - after > options_.eps) optimizer_.set_lr(group, after);
  }
}

}  // namespace mica
