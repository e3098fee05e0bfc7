// What optimizers share: groups of parameters, each with its learning rate, as in PyTorch, and what is remembered of each
// parameter between steps. Optimizers never change gradients. Schedules (optim/schedule.h) set the rates.
//
// state() names what a checkpoint needs as torch.optim's state_dict() does, its levels joined by dots; parameters are
// numbered through all groups:
//   param_groups.0.lr   f64 scalar      state.0.step   i64 scalar      state.0.exp_avg   the parameter's shape
// A parameter that never had a gradient has no state.
#pragma once

#include <mica/kernels/graph_value.h>
#include <mica/optim/state.h>

#include <optional>
#include <string>
#include <vector>

namespace mica {

using kernels::GraphValue;

class Optimizer {
 public:
  using State = NamedTensors;

  virtual ~Optimizer() = default;
  virtual void step() = 0;  // updates every parameter that has a gradient

  std::size_t group_count() const { return groups_.size(); }
  double lr(std::size_t group = 0) const { return groups_.at(group).lr; }
  void set_lr(std::size_t group, double lr);  // throws Error unless lr >= 0
  double initial_lr(std::size_t group);       // the rate it had when its first schedule was made
  void zero_grad();                           // forgets all gradients

  // The group's momentum; of Adam and AdamW, its first beta. Throws Error where it has none (of Sgd and RMSprop, one of 0, which
  // they remember nothing for), and unless the new one is in (0, 1).
  double momentum(std::size_t group = 0) { return checked_momentum(group); }
  void set_momentum(std::size_t group, double momentum);

  State state() const;  // copies, where the parameters are
  // Takes on what state() gave, for the same groups of parameters, from any device. Throws Error where a key is missing, unexpected or of
  // another shape, and then changes nothing.
  void load_state(const State& state);

 protected:
  struct Parameter {
    Tensor value;
    std::int64_t steps = 0;         // updates that were submitted so far
    std::vector<Tensor> buffers{};  // one for each of the group's names, of the value's shape; none before the first step
  };

  virtual double* momentum_of(std::size_t) { return nullptr; }  // among the rule's own settings; null: none

  // `buffers`: what the rule remembers of a parameter, by PyTorch's names. Throws Error where the group is empty, or a
  // parameter is not a leaf that requires a gradient, or is in a group already.
  void add_parameters(const std::vector<Tensor>& parameters, double lr, std::vector<std::string> buffers);

  // The group's parameters of this dtype that have a gradient, with buffers made (zeros at first). Throws DeviceError
  // unless they are on one device.
  std::vector<Parameter*> begin_step(std::size_t group, DType dtype);
  // The group's rate and momentum (0 where it has none) for kernels, of each replay where a graph is captured.
  GraphValue<double> graph_lr(std::size_t group, Device device);
  GraphValue<double> graph_momentum(std::size_t group, Device device);
  // Counts the step, once its kernels were submitted: one that failed is done again under the same number. In a capture the
  // replays count (core/replayed.h), as what is made of the number must be.
  static void end_step(const std::vector<Parameter*>& updated);

 private:
  double& checked_momentum(std::size_t group);
  static void take_on(Parameter& parameter, std::int64_t steps, std::vector<Tensor> buffers);

  struct Group {
    double lr;
    std::optional<double> initial_lr;
    std::vector<std::string> buffers;
    std::vector<Parameter> parameters;
  };
  std::vector<Group> groups_;
};

}  // namespace mica
