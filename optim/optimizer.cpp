#include <mica/core/error.h>
#include <mica/core/replayed.h>
#include <mica/optim/optimizer.h>

#include <fmt/format.h>

#include <algorithm>

namespace mica {

namespace {

double checked_rate(double lr) {
  if (!(lr >= 0)) throw Error(fmt::format("optimizer: expected a learning rate of 0 or more, got {}", lr));
  return lr;
}

}  // namespace

void Optimizer::set_lr(std::size_t group, double lr) { groups_.at(group).lr = checked_rate(lr); }

double Optimizer::initial_lr(std::size_t group) {
  Group& its = groups_.at(group);
  if (!its.initial_lr) its.initial_lr = its.lr;
  return *its.initial_lr;
}

double& Optimizer::checked_momentum(std::size_t group) {
  groups_.at(group);
  double* const momentum = momentum_of(group);
  if (!momentum)
    throw Error(fmt::format("optimizer: group {} has no momentum that could change; make it with one above 0 (or OneCycleLR without "
                            "cycle_momentum)",
                            group));
  return *momentum;
}

void Optimizer::set_momentum(std::size_t group, double momentum) {
  if (!(momentum > 0 && momentum < 1)) throw Error(fmt::format("optimizer: expected a momentum above 0 and below 1, got {}", momentum));
  checked_momentum(group) = momentum;
}

void Optimizer::zero_grad() {
  for (const Group& group : groups_)
    for (const Parameter& parameter : group.parameters) parameter.value.set_grad(Tensor());
}

void Optimizer::add_parameters(const std::vector<Tensor>& parameters, double lr, std::vector<std::string> buffers) {
  if (parameters.empty()) throw Error("optimizer: a group has no parameters; give the result of parameters()");
  Group added{checked_rate(lr), {}, std::move(buffers), {}};
  for (const Tensor& parameter : parameters) {
    if (!parameter.requires_grad() || !parameter.is_leaf())
      throw Error(fmt::format("optimizer: a parameter of shape {} is not a leaf that requires a gradient", to_string(parameter.shape())));
    const auto is_there = [&](const Group& group) {
      return std::any_of(group.parameters.begin(), group.parameters.end(),
                         [&](const Parameter& other) { return other.value.grad_meta() == parameter.grad_meta(); });
    };
    if (is_there(added) || std::any_of(groups_.begin(), groups_.end(), is_there))
      throw Error(fmt::format("optimizer: a parameter of shape {} is given twice", to_string(parameter.shape())));
    added.parameters.push_back({parameter});
  }
  groups_.push_back(std::move(added));
}

std::vector<Optimizer::Parameter*> Optimizer::begin_step(std::size_t group, DType dtype) {
  std::vector<Parameter*> ready;
  for (Parameter& parameter : groups_[group].parameters)
    if (parameter.value.dtype() == dtype && parameter.value.grad().defined()) ready.push_back(&parameter);
  for (const Parameter* parameter : ready) require_same_device("optimizer", ready.front()->value, parameter->value);
  for (Parameter* parameter : ready) {
    const Tensor& value = parameter->value;
    if (parameter->buffers.empty()) {
      std::vector<Tensor> made;  // all of them or, where there is no memory, none
      for (std::size_t i = 0; i < groups_[group].buffers.size(); ++i) made.push_back(Tensor::zeros(value.shape(), dtype, value.device()));
      parameter->buffers = std::move(made);
    }
    for (Tensor& buffer : parameter->buffers) buffer = buffer.to(dtype).to(value.device());  // the module was moved or converted since
    value.bump_version();
  }
  return ready;
}

GraphValue<double> Optimizer::graph_lr(std::size_t group, Device device) {
  return replayed<double>(device, [this, group] { return lr(group); });
}

GraphValue<double> Optimizer::graph_momentum(std::size_t group, Device device) {
  return replayed<double>(device, [this, group] {
    const double* const momentum = momentum_of(group);
    return momentum ? *momentum : 0;
  });
}

void Optimizer::end_step(const std::vector<Parameter*>& updated) {
  replayed<char>(updated.front()->value.device(), [updated] {
    for (Parameter* parameter : updated) ++parameter->steps;
    return char{};
  });
}

// ---- state ----

namespace {

std::string rate_key(std::size_t group) { return fmt::format("param_groups.{}.lr", group); }
std::string state_key(std::size_t parameter, const std::string& name) { return fmt::format("state.{}.{}", parameter, name); }

}  // namespace

// Where there are buffers already they stay and take the values, zeros from a state without: a captured graph works on them.
void Optimizer::take_on(Parameter& parameter, std::int64_t steps, std::vector<Tensor> buffers) {
  parameter.steps = steps;
  const auto fits = [](const Tensor& old, const Tensor& loaded) { return old.dtype() == loaded.dtype() && old.device() == loaded.device(); };
  if (std::equal(parameter.buffers.begin(), parameter.buffers.end(), buffers.begin(), buffers.end(), fits))
    for (std::size_t b = 0; b < buffers.size(); ++b) parameter.buffers[b].copy_(buffers[b]);
  else if (buffers.empty())
    for (Tensor& buffer : parameter.buffers) buffer.fill_(0);
  else parameter.buffers = std::move(buffers);
}

Optimizer::State Optimizer::state() const {
  State state;
  std::size_t number = 0;
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    state.emplace_back(rate_key(g), Tensor::full({}, groups_[g].lr, DType::f64));
    for (const Parameter& parameter : groups_[g].parameters) {
      const std::size_t i = number++;
      if (parameter.steps == 0) continue;
      state.emplace_back(state_key(i, "step"), Tensor::from<std::int64_t>({parameter.steps}, {}));
      for (std::size_t b = 0; b < parameter.buffers.size(); ++b)
        state.emplace_back(state_key(i, groups_[g].buffers[b]), parameter.buffers[b].clone());
    }
  }
  return state;
}

void Optimizer::load_state(const State& state) {
  struct Loaded {
    std::int64_t steps = 0;
    std::vector<Tensor> buffers{};
  };
  StateKeys keys("optimizer", state);
  std::vector<double> rates;
  std::vector<Loaded> loaded;  // of all parameters
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    rates.push_back(keys.take(rate_key(g), {}, DType::f64).item<double>());
    for (const Parameter& parameter : groups_[g].parameters) {
      const std::size_t i = loaded.size();
      Loaded& one = loaded.emplace_back();
      if (!keys.has(state_key(i, "step"))) continue;
      one.steps = keys.take(state_key(i, "step"), {}, DType::i64).item<std::int64_t>();
      for (const std::string& name : groups_[g].buffers)
        one.buffers.push_back(keys.take(state_key(i, name), parameter.value.shape(), parameter.value.dtype(), parameter.value.device()));
    }
  }
  keys.expect_none();
  for (std::size_t g = 0, i = 0; g < groups_.size(); ++g) {
    groups_[g].lr = rates[g];
    for (Parameter& parameter : groups_[g].parameters) take_on(parameter, loaded[i].steps, std::move(loaded[i].buffers)), ++i;
  }
}

}  // namespace mica
