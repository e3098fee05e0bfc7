#include <mica/core/error.h>
#include <mica/layers/batch_norm.h>
#include <mica/layers/dropout.h>
#include <mica/layers/sequential.h>
#include <mica/layers/stateless.h>

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

// Runs a fusible group that begins at layer `at`, and returns how many layers it took; 0 where there is none.
std::size_t Sequential::run_fused(std::size_t at, Tensor& x) {
  const auto layer = [&]<class M>(std::size_t i, M*) { return i < layers_.size() ? dynamic_cast<M*>(layers_[i].module.get()) : nullptr; };
  auto* norm = layer(at, static_cast<BatchNorm*>(nullptr));
  if (!norm || x.rank() == 3) return 0;  // of (N, C, L) the norm sees the elements in another order than dropout
  auto* dropout = layer(at + 1, static_cast<Dropout*>(nullptr));
  const bool relu_first = dropout == nullptr;
  if (!layer(at + (relu_first ? 1 : 2), static_cast<ReLU*>(nullptr))) return 0;
  if (relu_first) dropout = layer(at + 2, static_cast<Dropout*>(nullptr));
  try {
    const Scope scope(norm->scope());
    x = norm->forward(x, true, dropout ? dropout->next_mask(x.device()) : kernels::Dropout{});
  } catch (Error& error) {
    error.prepend_path(layers_[at].name);
    throw;
  }
  return dropout ? 3 : 2;
}

Tensor Sequential::forward(const Tensor& input) {
  ensure_named();
  Tensor x = input;
  for (std::size_t at = 0; at < layers_.size();) {
    if (const std::size_t taken = fusing && !ForwardObserver::active() ? run_fused(at, x) : 0) {
      at += taken;
    } else {
      x = (*layers_[at++].module)(x);
    }
  }
  return x;
}

}  // namespace mica
