#include <mica/core/error.h>
#include <mica/core/ops/conv2d_chain.h>
#include <mica/layers/batch_norm.h>
#include <mica/layers/conv2d.h>
#include <mica/layers/dropout.h>
#include <mica/layers/sequential.h>
#include <mica/layers/stateless.h>

#include <span>

namespace mica {
namespace {

thread_local bool fusing = true;

}  // namespace

NoFusion::NoFusion() : before_(fusing) { fusing = false; }
NoFusion::~NoFusion() { fusing = before_; }

void Sequential::append(std::string name, std::unique_ptr<Module> module) {
  if (name.empty() || name.find('.') != std::string::npos)
    throw Error("Sequential: the name '" + name + "' is empty or has a dot, which separates the names of a path");
  for (const Layer& layer : layers_)
    if (layer.name == name) throw Error("Sequential: the name '" + name + "' is there already; names must differ");
  layers_.push_back({std::move(name), std::move(module)});
  names_changed();
}

void Sequential::visit(Visitor& v) {
  for (Layer& layer : layers_) v(layer.name, *layer.module);
}

// A batch norm with ReLU and perhaps dropout, in either order; norm is null where there is none.
struct Sequential::NormGroup {
  BatchNorm* norm = nullptr;
  Dropout* dropout = nullptr;
  std::size_t end = 0;

  kernels::Dropout next_mask(Device device) const { return dropout ? dropout->next_mask(device) : kernels::Dropout{}; }
};

Sequential::NormGroup Sequential::norm_group(std::size_t at) const {
  auto* const norm = layer<BatchNorm>(at);
  if (!norm) return {};
  if (layer<ReLU>(at + 1)) {
    auto* const dropout = layer<Dropout>(at + 2);
    return {norm, dropout, at + (dropout ? 3 : 2)};
  }
  auto* const dropout = layer<Dropout>(at + 1);
  return dropout && layer<ReLU>(at + 2) ? NormGroup{norm, dropout, at + 3} : NormGroup{};
}

// What begins at layer `at`, whose name an Error will have.
Tensor Sequential::run(std::size_t at, const Scope::Name& scope, const std::function<Tensor()>& forward) {
  try {
    const Scope entered(scope);
    return forward();
  } catch (Error& error) {
    error.prepend_path(layers_[at].name);
    throw;
  }
}

// Runs a group that begins at layer `at`, and returns how many layers it took; 0 where there is none.
std::size_t Sequential::run_fused(std::size_t at, Tensor& x) {
  const NormGroup group = norm_group(at);
  if (!group.norm || x.rank() == 3) return 0;  // of (N, C, L) the norm sees the elements in another order than dropout
  x = run(at, group.norm->scope(), [&] { return group.norm->forward(x, true, group.next_mask(x.device())); });
  return group.end - at;
}

// The same for the longest chain.
std::size_t Sequential::run_chain(std::size_t at, Tensor& x) {
  if (!x.defined() || x.device() == Device::cpu()) return 0;  // nothing is chainable there, for the time being
  std::vector<ChainLink> links;
  std::vector<NormGroup> groups;
  std::vector<std::size_t> ends;
  for (std::size_t next = at; next < layers_.size() && (links.empty() || links.back().normalizes());) {
    ChainLink link;
    if (const auto* conv = exactly<Conv2d>(next))
      link.weight = conv->weight, link.bias = conv->bias, link.options = conv->options(), link.scope = conv->scope(), ++next;
    const NormGroup group = (link.convolves() || links.empty()) && exactly<BatchNorm2d>(next) ? norm_group(next) : NormGroup{};
    if (const BatchNorm* norm = group.norm) {
      link.norm_weight = norm->weight, link.norm_bias = norm->bias, link.running_mean = norm->running_mean,
      link.running_var = norm->running_var;
      link.norm = norm->options_for(true, {}), link.norm_scope = norm->scope();
      next = group.end;
    }
    if (!link.convolves() && !link.normalizes()) break;
    links.push_back(std::move(link)), groups.push_back(group), ends.push_back(next);
  }
  const std::size_t taken = chainable(x, links);
  if (taken == 0) return 0;
  x = run(at, nullptr, [&] {  // each link has a scope of its own
    for (std::size_t i = 0; i < taken; ++i) links[i].norm.dropout = groups[i].next_mask(x.device());
    return conv2d_chain(x, std::span(links).first(taken));
  });
  return ends[taken - 1] - at;
}

Tensor Sequential::forward(const Tensor& input) {
  ensure_named();
  Tensor x = input;
  for (std::size_t at = 0; at < layers_.size();) {
    std::size_t taken = 0;
    if (fusing && !ForwardObserver::active()) {
      taken = run_chain(at, x);
      if (taken == 0) taken = run_fused(at, x);
    }
    if (taken == 0) x = (*layers_[at].module)(x), taken = 1;
    at += taken;
  }
  return x;
}

}  // namespace mica
