#include <mica/core/error.h>
#include <mica/optim/schedule.h>

#include <fmt/format.h>

#include <cmath>

namespace mica {

StepLR::StepLR(Optimizer& optimizer, std::int64_t step_size, double gamma)
    : optimizer_(optimizer), step_size_(step_size), gamma_(gamma) {
  if (step_size < 1) throw Error(fmt::format("StepLR: expected a step size of 1 epoch or more, got {}", step_size));
  for (std::size_t group = 0; group < optimizer.group_count(); ++group) base_.push_back(optimizer.lr(group));
}

void StepLR::step() {
  ++epoch_;
  for (std::size_t group = 0; group < base_.size(); ++group)
    optimizer_.set_lr(group, base_[group] * std::pow(gamma_, static_cast<double>(epoch_ / step_size_)));
}

}  // namespace mica
