#include <mica/core/autograd.h>
#include <mica/core/error.h>
#include <mica/core/ops/elementwise.h>
#include <mica/core/ops/reduce.h>

#include <fmt/format.h>

#include <atomic>
#include <map>
#include <optional>

namespace mica {
namespace {

thread_local bool recording = true;
std::atomic<std::uint64_t> next_sequence = 0;

}  // namespace

NoGrad::NoGrad() : before_(recording) { recording = false; }
NoGrad::~NoGrad() { recording = before_; }
bool grad_enabled() { return recording; }

// Freeing the last node of a chain would free the one before it, and so on: a million calls deep. Instead the first
// destructor on a thread's stack collects what the others would free.
Node::~Node() {
  thread_local std::vector<std::shared_ptr<GradMeta>>* collecting = nullptr;
  if (collecting) {
    for (auto& input : inputs) collecting->push_back(std::move(input));
    return;
  }
  std::vector<std::shared_ptr<GradMeta>> orphans = std::move(inputs);
  collecting = &orphans;
  while (!orphans.empty()) {
    const std::shared_ptr<GradMeta> last = std::move(orphans.back());
    orphans.pop_back();
  }
  collecting = nullptr;
}

void record(const char* name, Tensor& y, const std::vector<Tensor>& inputs, Backward backward, bool keeps_nothing) {
  if (!recording) return;
  bool needed = false;
  for (const Tensor& x : inputs) needed = needed || (x.defined() && x.requires_grad());
  if (!needed) return;
  auto node = std::make_shared<Node>();
  node->name = name;
  node->sequence = next_sequence++;
  for (const Tensor& x : inputs) node->inputs.push_back(x.defined() ? x.grad_meta() : nullptr);
  node->scope = Scope::current();
  node->backward = std::move(backward);
  node->keeps_nothing = keeps_nothing;
  y.set_grad_meta(std::make_shared<GradMeta>(GradMeta{true, std::move(node), {}, y.shape(), y.dtype()}));
}

Saved::Saved(const char* op, const Tensor& tensor) : op_(op) {
  if (!tensor.defined()) return;
  tensor_ = tensor.detach();
  version_ = tensor.version();
}

const Tensor& Saved::get() const {
  if (tensor_.defined() && tensor_.version() != version_)
    throw GraphError(fmt::format("backward of {}: a tensor that it saved (shape {}) was changed in place after forward; "
                                 "clone() it before the change",
                                 op_, to_string(tensor_.shape())));
  return tensor_;
}

namespace {

// gx summed over the dimensions along which its input was broadcast.
Tensor unbroadcast(Tensor gx, const GradMeta& input, const char* name) {
  if (gx.shape() == input.shape) return gx;
  const int lead = gx.rank() - static_cast<int>(input.shape.size());
  std::vector<int> dims;
  for (int dim = 0; dim < gx.rank(); ++dim)
    if (dim < lead || (input.shape[static_cast<std::size_t>(dim - lead)] == 1 && gx.size(dim) != 1)) dims.push_back(dim);
  const Tensor reduced = lead < 0 ? gx : sum(gx, dims, true);
  if (reduced.numel() != numel(input.shape))
    throw GraphError(fmt::format("backward of {}: a gradient has shape {}, expected {}", name, to_string(gx.shape()),
                                 to_string(input.shape)));
  return reduced.reshape(input.shape);
}

void accumulate(Tensor& into, const Tensor& gx) { into = into.defined() ? add(into, gx) : gx; }

}  // namespace

void Tensor::backward() const {
  if (numel() != 1)
    throw GraphError(fmt::format("backward: the tensor has shape {}, expected one element; give the gradient of this "
                                 "tensor, or reduce it with sum or mean",
                                 mica::to_string(shape())));
  backward(ones(shape(), dtype(), device()));
}

void Tensor::backward(const Tensor& gy) const { mica::backward({*this}, {gy}); }

void backward(const std::vector<Tensor>& tensors, const std::vector<Tensor>& gys) {
  if (tensors.size() != gys.size())
    throw GraphError(fmt::format("backward: {} gradients for {} tensors; give one for each", gys.size(), tensors.size()));
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const Tensor &y = tensors[i], &gy = gys[i];
    if (!y.requires_grad())
      throw GraphError("backward: the tensor does not depend on any that requires a gradient; "
                       "call set_requires_grad() on a leaf before forward, outside NoGrad");
    if (gy.shape() != y.shape() || gy.dtype() != y.dtype())
      throw ShapeError(fmt::format("backward: the gradient is {} {}, expected {} {}", name_of(gy.dtype()), to_string(gy.shape()),
                                   name_of(y.dtype()), to_string(y.shape())));
    require_same_device("backward", y, gy);
  }
  const NoGrad no_grad;
  struct Pending { std::shared_ptr<Node> node; Tensor gy; };
  std::map<std::uint64_t, Pending, std::greater<>> pending;  // latest node first

  const auto deliver = [&](GradMeta& meta, Tensor gx) {
    if (meta.node) {
      Pending& entry = pending[meta.node->sequence];
      entry.node = meta.node;
      accumulate(entry.gy, gx);
    } else {
      // A leaf owns its gradient: later changes in place must not reach another tensor's. More is added in place, as in PyTorch, so
      // that a captured graph adds to the same tensor each time.
      if (meta.grad.defined()) meta.grad.copy_(add(meta.grad, gx));
      else meta.grad = gx.is_sole_owner() ? std::move(gx) : gx.clone();
    }
  };
  for (std::size_t i = 0; i < tensors.size(); ++i) deliver(*tensors[i].grad_meta(), gys[i]);
  std::optional<Scope> scope;  // of neighbours that one module recorded
  while (!pending.empty()) {
    Pending current = std::move(pending.begin()->second);
    pending.erase(pending.begin());
    Node& node = *current.node;
    if (!node.backward)
      throw GraphError(fmt::format("backward of {}: this part of the graph has been freed by an earlier backward; "
                                   "run forward again",
                                   node.name));
    if (const Scope::Name& name = node.scope; name != (scope ? Scope::current() : nullptr)) {
      scope.reset();
      if (name) scope.emplace(name, Pass::backward);
    }
    const Backward run = node.keeps_nothing ? node.backward : std::move(node.backward);
    if (!node.keeps_nothing) node.backward = nullptr;
    Gradients gradients = run(current.gy);
    current.gy = Tensor();  // so that a gradient which is gy itself may have it for its own
    if (gradients.size() != node.inputs.size())
      throw GraphError(fmt::format("backward of {}: {} gradients for {} inputs", node.name, gradients.size(),
                                   node.inputs.size()));
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      GradMeta* input = node.inputs[i].get();
      if (input && input->requires_grad && gradients[i].defined())
        deliver(*input, unbroadcast(std::move(gradients[i]), *input, node.name));
    }
  }
}

}  // namespace mica
