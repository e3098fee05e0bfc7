// What optimizers share: groups of parameters, each with its learning rate, as in PyTorch. Optimizers never change
// gradients. Schedules (optim/schedule.h) set the rates.
#pragma once

#include <mica/core/tensor.h>

namespace mica {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  virtual void step() = 0;  // updates every parameter that has a gradient

  std::size_t group_count() const { return rates_.size(); }
  double lr(std::size_t group = 0) const { return rates_.at(group); }
  void set_lr(std::size_t group, double lr);  // throws Error unless lr >= 0
  void zero_grad();                           // forgets all gradients

 protected:
  // Throws Error where the group is empty, or a parameter is not a leaf that requires a gradient, or is in a group already.
  void add_parameters(const std::vector<Tensor>& parameters, double lr);
  const std::vector<Tensor>& parameters(std::size_t group) const { return groups_[group]; }

 private:
  std::vector<std::vector<Tensor>> groups_;
  std::vector<double> rates_;
};

}  // namespace mica
