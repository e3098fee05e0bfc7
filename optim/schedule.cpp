#include <mica/core/error.h>
#include <mica/optim/schedule.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mica {

Schedule::Schedule(Optimizer& optimizer) : optimizer_(optimizer) {
  for (std::size_t group = 0; group < optimizer.group_count(); ++group) base_.push_back(optimizer.initial_lr(group));
}

void Schedule::step(std::optional<double> metric) {
  update(epoch_ + 1, metric);
  ++epoch_;
}

void Schedule::visit(StateNumbers& state) { state("last_epoch", epoch_), state("base_lrs", base_); }

Schedule::State Schedule::state() {
  std::vector<double> rates;
  for (std::size_t group = 0; group < optimizer_.group_count(); ++group) rates.push_back(optimizer_.lr(group));
  StateNumbers numbers;
  visit(numbers);
  numbers("_last_lr", rates);
  return numbers.state();
}

void Schedule::load_state(const State& state) {
  std::vector<double> rates(optimizer_.group_count());
  StateNumbers numbers;
  visit(numbers);
  numbers("_last_lr", rates);
  for (const auto& [key, tensor] : state)
    for (const double rate : key == "_last_lr" ? tensor.to(DType::f64).to_vector<double>() : std::vector<double>{})
      if (!(rate >= 0))
        throw Error(fmt::format("load_state: the state is of another schedule: _last_lr has {}, expected rates of 0 or more", rate));
  numbers.load("schedule", state);
  for (std::size_t group = 0; group < rates.size(); ++group) optimizer_.set_lr(group, rates[group]);
  loaded();
}

void FactorSchedule::go(double before, double now) {
  if (before == now) return;
  const auto at = [this](std::size_t group, double factor) { return least_ + (base_[group] - least_) * factor; };
  for (std::size_t group = 0; group < base_.size(); ++group) {
    const double rate = optimizer_.lr(group);
    double next = least_ + (rate - least_) * (now / before);
    if (rate == at(group, before)) next = at(group, now);  // nobody else has changed it: no rounding adds up
    else if (before == 0) next = rate + (base_[group] - least_) * now;
    optimizer_.set_lr(group, next);
  }
}

StepLR::StepLR(Optimizer& optimizer, std::int64_t step_size, double gamma)
    : FactorSchedule(optimizer), step_size_(step_size), gamma_(gamma) {
  if (step_size < 1) throw Error(fmt::format("StepLR: expected a step size of 1 epoch or more, got {}", step_size));
  begin();
}

double StepLR::factor(std::int64_t epoch) const { return std::pow(gamma_, static_cast<double>(epoch / step_size_)); }

MultiStepLR::MultiStepLR(Optimizer& optimizer, std::vector<std::int64_t> milestones, double gamma)
    : FactorSchedule(optimizer), milestones_(std::move(milestones)), gamma_(gamma) {
  std::sort(milestones_.begin(), milestones_.end());
  begin();
}

double MultiStepLR::factor(std::int64_t epoch) const {
  return std::pow(gamma_, static_cast<double>(std::upper_bound(milestones_.begin(), milestones_.end(), epoch) - milestones_.begin()));
}

ExponentialLR::ExponentialLR(Optimizer& optimizer, double gamma) : FactorSchedule(optimizer), gamma_(gamma) { begin(); }

double ExponentialLR::factor(std::int64_t epoch) const { return std::pow(gamma_, static_cast<double>(epoch)); }

LinearLR::LinearLR(Optimizer& optimizer, double start_factor, double end_factor, std::int64_t total_iters)
    : FactorSchedule(optimizer), start_(start_factor), end_(end_factor), total_iters_(total_iters) {
  if (!(start_factor > 0 && start_factor <= 1))
    throw Error(fmt::format("LinearLR: expected a start_factor above 0 and up to 1, got {}", start_factor));
  if (!(end_factor >= 0 && end_factor <= 1)) throw Error(fmt::format("LinearLR: expected an end_factor from 0 to 1, got {}", end_factor));
  if (total_iters < 1) throw Error(fmt::format("LinearLR: expected total_iters of 1 or more, got {}", total_iters));
  begin();
}

double LinearLR::factor(std::int64_t epoch) const {
  if (epoch >= total_iters_) return end_;
  return start_ + (end_ - start_) * static_cast<double>(epoch) / static_cast<double>(total_iters_);
}

CosineAnnealingLR::CosineAnnealingLR(Optimizer& optimizer, std::int64_t T_max, double eta_min)
    : FactorSchedule(optimizer, eta_min), T_max_(T_max) {
  if (T_max < 1) throw Error(fmt::format("CosineAnnealingLR: expected a T_max of 1 epoch or more, got {}", T_max));
  if (!(eta_min >= 0)) throw Error(fmt::format("CosineAnnealingLR: expected an eta_min of 0 or more, got {}", eta_min));
  begin();
}

double CosineAnnealingLR::factor(std::int64_t epoch) const {
  return (1 + std::cos(std::numbers::pi * static_cast<double>(epoch) / static_cast<double>(T_max_))) / 2;
}

}  // namespace mica
