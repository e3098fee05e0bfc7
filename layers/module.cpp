#include <mica/core/autograd.h>
#include <mica/core/error.h>
#include <mica/layers/module.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <functional>
#include <map>
#include <set>

namespace mica {
namespace {

// Calls back for each kind of member of one module; children are not entered.
struct Members : Visitor {
  std::function<void(std::string_view, Tensor&)> parameter = [](std::string_view, Tensor&) {};
  std::function<void(std::string_view, Tensor&)> buffer_tensor = [](std::string_view, Tensor&) {};
  std::function<void(std::string_view, Module&)> child = [](std::string_view, Module&) {};

 private:
  void on_parameter(std::string_view name, Tensor& t) override { if (t.defined()) parameter(name, t); }
  void on_buffer(std::string_view name, Tensor& t) override { if (t.defined()) buffer_tensor(name, t); }
  void on_child(std::string_view name, Module& m) override { child(name, m); }
};

void each_parameter(Module& root, const std::function<void(Tensor&)>& f) {
  for (Module* module : root.modules()) {
    Members members;
    members.parameter = [&](std::string_view, Tensor& t) { f(t); };
    module->visit(members);
  }
}

void collect_state(Module& module, const std::string& prefix, StateDict& state) {
  Members members;
  StateDict buffers;
  std::vector<std::pair<std::string, Module*>> children;
  members.parameter = [&](std::string_view name, Tensor& t) { state.emplace_back(prefix + std::string(name), t); };
  members.buffer_tensor = [&](std::string_view name, Tensor& t) { buffers.emplace_back(prefix + std::string(name), t); };
  members.child = [&](std::string_view name, Module& m) { children.emplace_back(prefix + std::string(name) + ".", &m); };
  module.visit(members);
  state.insert(state.end(), buffers.begin(), buffers.end());
  for (const auto& [path, child] : children) collect_state(*child, path, state);
}

thread_local ForwardObserver* observer = nullptr;

}  // namespace

ForwardObserver::ForwardObserver() : outer_(observer) { observer = this; }
ForwardObserver::~ForwardObserver() { observer = outer_; }
bool ForwardObserver::active() { return observer != nullptr; }

EvalMode::EvalMode(Module& network) {
  for (Module* module : network.modules()) before_.emplace_back(module, module->training_);
  network.eval();
}
EvalMode::~EvalMode() {
  for (const auto& [module, training] : before_) module->training_ = training;
}

Tensor Module::operator()(const Tensor& x) {
  ensure_named();
  try {
    if (observer) observer->before(*this, x);
    Tensor y = forward(x);
    if (observer) observer->after(*this, x, y);
    return y;
  } catch (Error& error) {
    if (!name_.empty()) error.prepend_path(name_);
    throw;
  }
}

void Module::ensure_named() {
  if (!named_) name_descendants();
}

void Module::name_descendants() {
  named_ = true;
  Members members;
  members.child = [this](std::string_view name, Module& child) {
    child.name_ = name;
    child.path_ = path_.empty() ? child.name_ : path_ + "." + child.name_;
    child.name_descendants();
  };
  visit(members);
}

std::vector<Module*> Module::children() {
  std::vector<Module*> found;
  Members members;
  members.child = [&](std::string_view, Module& child) { found.push_back(&child); };
  visit(members);
  return found;
}

std::vector<Module*> Module::modules() {
  std::vector<Module*> found{this};
  for (Module* child : children())
    for (Module* module : child->modules()) found.push_back(module);
  return found;
}

std::vector<Tensor> Module::parameters() {
  std::vector<Tensor> found;
  std::set<const GradMeta*> seen;  // a shared parameter comes once, as in PyTorch
  each_parameter(*this, [&](Tensor& t) {
    if (!t.grad_meta() || seen.insert(t.grad_meta().get()).second) found.push_back(t);
  });
  return found;
}

std::int64_t Module::parameter_count() {
  std::int64_t count = 0;
  for (const Tensor& p : parameters()) count += p.numel();
  return count;
}

StateDict Module::state_dict() {
  StateDict state;
  collect_state(*this, "", state);
  return state;
}

void Module::load_state_dict(const StateDict& given) {
  std::map<std::string, Tensor> source(given.begin(), given.end());
  StateDict own = state_dict();
  std::vector<std::string> problems;
  for (const auto& [key, tensor] : own) {
    const auto found = source.find(key);
    if (found == source.end()) {
      problems.push_back("missing " + key);
    } else {
      const Tensor& t = found->second;
      if (t.shape() != tensor.shape())
        problems.push_back(fmt::format("{} is {}, expected {}", key, to_string(t.shape()), to_string(tensor.shape())));
      else if (t.dtype() != tensor.dtype() && !(is_floating(t.dtype()) && is_floating(tensor.dtype())))
        problems.push_back(fmt::format("{} is {}, expected {}", key, name_of(t.dtype()), name_of(tensor.dtype())));
      source.erase(found);
    }
  }
  for (const auto& [key, tensor] : source) problems.push_back("unexpected " + key);
  if (!problems.empty()) {
    const std::size_t shown = std::min<std::size_t>(problems.size(), 5);
    const std::string more = problems.size() > shown ? fmt::format("; and {} more", problems.size() - shown) : "";
    problems.resize(shown);
    throw Error(fmt::format("load_state_dict: the weights are of another network: {}{}", fmt::join(problems, "; "), more));
  }
  const NoGrad no_grad;
  const std::map<std::string, Tensor> values(given.begin(), given.end());
  for (auto& [key, tensor] : own) tensor.copy_(values.at(key));
}

void Module::train(bool on) {
  for (Module* module : modules()) module->training_ = on;
}

void Module::zero_grad() {
  for (const Tensor& p : parameters())
    if (p.requires_grad()) p.set_grad(Tensor());
}

void Module::to(Device device) {
  for (auto& [key, tensor] : state_dict()) tensor.adopt(tensor.detach().to(device));
}

void Module::to(DType dtype) {
  for (auto& [key, tensor] : state_dict())
    if (is_floating(tensor.dtype())) tensor.adopt(tensor.detach().to(dtype));
}

}  // namespace mica
