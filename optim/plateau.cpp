#include <mica/core/error.h>
#include <mica/optim/plateau.h>

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace mica {

BestMetric::BestMetric(PlateauMode mode, double threshold, ThresholdMode threshold_mode)
    : mode_(mode), threshold_(threshold), threshold_mode_(threshold_mode),
      best_((mode == PlateauMode::min ? 1 : -1) * std::numeric_limits<double>::infinity()) {}

bool BestMetric::take(double metric) {
  const bool relative = threshold_mode_ == ThresholdMode::relative;
  const bool better = mode_ == PlateauMode::min ? metric < (relative ? best_ * (1 - threshold_) : best_ - threshold_)
                                                : metric > (relative ? best_ * (1 + threshold_) : best_ + threshold_);
  if (better) best_ = metric;
  return better;
}

ReduceLROnPlateau::ReduceLROnPlateau(Optimizer& optimizer, const PlateauOptions& options)
    : Schedule(optimizer), options_(options), best_(options.mode, options.threshold, options.threshold_mode) {
  if (!(options.factor >= 0 && options.factor < 1))
    throw Error(fmt::format("ReduceLROnPlateau: expected a factor from 0 to below 1, got {}", options.factor));
  if (options.min_lr.size() != 1 && options.min_lr.size() != optimizer.group_count())
    throw Error(fmt::format("ReduceLROnPlateau: expected one min_lr, or one for each of {} groups, got {}", optimizer.group_count(),
                            options.min_lr.size()));
}

void ReduceLROnPlateau::begin() {
  best_ = BestMetric(options_.mode, options_.threshold, options_.threshold_mode);
  bad_epochs_ = cooldown_left_ = 0;
}

void ReduceLROnPlateau::visit(StateNumbers& state) {
  Schedule::visit(state);
  state("best", best_.value()), state("num_bad_epochs", bad_epochs_), state("cooldown_counter", cooldown_left_);
}

void ReduceLROnPlateau::update(std::int64_t, std::optional<double> metric) {
  if (!metric) throw Error("ReduceLROnPlateau: step needs the epoch's metric; call step(metric)");
  bad_epochs_ = best_.take(*metric) ? 0 : bad_epochs_ + 1;
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

EarlyStopping::EarlyStopping(const EarlyStoppingOptions& o)
    : patience_(o.patience), best_(o.mode, o.min_delta, ThresholdMode::absolute) {
  if (o.patience < 1) throw Error(fmt::format("EarlyStopping: expected a patience of 1 epoch or more, got {}", o.patience));
  if (!(o.min_delta >= 0)) throw Error(fmt::format("EarlyStopping: expected a min_delta of 0 or more, got {}", o.min_delta));
}

bool EarlyStopping::step(double metric) {
  bad_epochs_ = best_.take(metric) ? 0 : bad_epochs_ + 1;
  return bad_epochs_ >= patience_;
}

StateNumbers EarlyStopping::numbers() {
  StateNumbers state;
  state("best", best_.value()), state("num_bad_epochs", bad_epochs_);
  return state;
}

NamedTensors EarlyStopping::state() { return numbers().state(); }
void EarlyStopping::load_state(const NamedTensors& state) { numbers().load("early stopping", state); }

}  // namespace mica
