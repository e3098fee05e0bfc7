#include <mica/core/error.h>
#include <mica/optim/optimizer.h>

#include <fmt/format.h>

#include <algorithm>

namespace mica {

void Optimizer::set_lr(std::size_t group, double lr) {
  if (!(lr >= 0)) throw Error(fmt::format("optimizer: expected a learning rate of 0 or more, got {}", lr));
  rates_.at(group) = lr;
}

void Optimizer::zero_grad() {
  for (const auto& group : groups_)
    for (const Tensor& parameter : group) parameter.set_grad(Tensor());
}

void Optimizer::add_parameters(const std::vector<Tensor>& parameters, double lr) {
  if (parameters.empty()) throw Error("optimizer: a group has no parameters; give the result of parameters()");
  for (const Tensor& parameter : parameters) {
    if (!parameter.requires_grad() || !parameter.is_leaf())
      throw Error(fmt::format("optimizer: a parameter of shape {} is not a leaf that requires a gradient", to_string(parameter.shape())));
    const auto same = [&](const Tensor& other) { return other.grad_meta() == parameter.grad_meta(); };
    std::ptrdiff_t times = std::count_if(parameters.begin(), parameters.end(), same);
    for (const auto& group : groups_) times += std::count_if(group.begin(), group.end(), same);
    if (times > 1) throw Error(fmt::format("optimizer: a parameter of shape {} is given twice", to_string(parameter.shape())));
  }
  groups_.push_back(parameters);
  rates_.push_back(0);
  set_lr(rates_.size() - 1, lr);
}

}  // namespace mica
