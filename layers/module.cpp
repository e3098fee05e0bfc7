#include <mica/core/autograd.h>
#include <mica/core/error.h>
#include <mica/core/nearest.h>
#include <mica/layers/module.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
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

// " is 16×3, expected 16×4" where a tensor of the state cannot be copied into the network's; "" where it can.
std::string why_not_copied(const Tensor& given, const Tensor& own) {
  if (given.shape() != own.shape()) return fmt::format(" is {}, expected {}", to_string(given.shape()), to_string(own.shape()));
  const bool kept = is_floating(own.dtype()) ? is_floating(given.dtype())
                                             : !is_floating(given.dtype()) && size_of(given.dtype()) <= size_of(own.dtype());
  return kept ? "" : fmt::format(" is {}, expected {}", name_of(given.dtype()), name_of(own.dtype()));
}

constexpr std::size_t most_named = 5;  // in an error's text

// "a, b, c, d, e and 3 more (8 in all)".
std::string first_few(const std::vector<std::string>& items, const char* between, const char* kind) {
  const auto end = items.begin() + static_cast<std::ptrdiff_t>(std::min(items.size(), most_named));
  const std::string named = fmt::format("{}", fmt::join(items.begin(), end, between));
  if (items.size() <= most_named) return named;
  return fmt::format("{} and {} more{} ({} in all)", named, items.size() - most_named, kind, items.size());
}

std::vector<std::string> parts_of(const std::string& key) {
  std::vector<std::string> parts{""};
  for (const char c : key)
    if (c == '.') parts.emplace_back();
    else parts.back() += c;
  return parts;
}

// The missing key that a misspelt one means: only one part between dots differs, and that by a few letters; "" where none.
std::string nearest_missing(const std::string& key, const std::vector<std::string>& missing) {
  if (key.size() > 200) return "";  // it would take long to compare
  const std::vector<std::string> parts = parts_of(key);
  std::vector<std::string> near;
  for (const std::string& candidate : missing) {
    const std::vector<std::string> theirs = parts_of(candidate);
    if (theirs.size() != parts.size()) continue;
    const auto [a, b] = std::mismatch(parts.begin(), parts.end(), theirs.begin());
    if (a != parts.end() && std::equal(a + 1, parts.end(), b + 1) && !nearest_name(*a, {*b}).empty()) near.push_back(candidate);
  }
  return nearest_name(key, near);
}

// The unexpected keys, those that will be named with suggestions.
std::vector<std::string> with_nearest(const IncompatibleKeys& keys) {
  std::vector<std::string> all = keys.unexpected_keys;
  for (std::size_t i = 0; i < std::min(all.size(), most_named); ++i)
    if (const std::string nearest = nearest_missing(all[i], keys.missing_keys); !nearest.empty())
      all[i] += " (did you mean " + nearest + "?)";
  return all;
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

Module::~Module() = default;

Tensor Module::operator()(const Tensor& x) {
  ensure_named();
  try {
    const Scope entered(scope_);
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
  scope_ = std::make_shared<const std::string>(path_.empty() ? kind() : path_);
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

IncompatibleKeys Module::load_state_dict(const StateDict& given, bool strict) {
  const std::map<std::string_view, Tensor> source(given.begin(), given.end());
  StateDict own = state_dict();
  std::set<std::string_view> known;
  IncompatibleKeys keys;
  std::vector<std::string> problems;
  for (const auto& [key, tensor] : own) {
    known.insert(key);
    const auto found = source.find(key);
    if (found == source.end()) keys.missing_keys.push_back(key);
    else if (const std::string why = why_not_copied(found->second, tensor); !why.empty()) problems.push_back(key + why);
  }
  for (const auto& [key, tensor] : given)
    if (!known.contains(key)) keys.unexpected_keys.push_back(key);

  std::vector<std::string> text;
  if (!problems.empty()) text.push_back(first_few(problems, "; ", " of another shape or type"));
  if (strict && !keys.missing_keys.empty()) text.push_back("missing " + first_few(keys.missing_keys, ", ", ""));
  if (strict && !keys.unexpected_keys.empty()) text.push_back("unexpected " + first_few(with_nearest(keys), ", ", ""));
  if (!text.empty()) throw Error(fmt::format("load_state_dict: the weights are of another network: {}", fmt::join(text, "; ")));
  const NoGrad no_grad;
  for (auto& [key, tensor] : own)
    if (const auto found = source.find(key); found != source.end()) tensor.copy_(found->second);
  return keys;
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
