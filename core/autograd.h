// Reverse-mode automatic differentiation, defined by running.
//
// An op that ran under grad mode on a tensor that requires a gradient records a Node: its name, a sequence number, edges to the
// inputs' GradMeta, and a closure that maps the gradient of the output to those of the inputs. Sequence numbers are a
// topological order, so backward takes nodes from the highest number down; it never recurses, and neither does freeing a graph.
// Only what a closure saves stays alive. A graph is freed by its backward; a second backward through it is an error,
// and so is one whose saved tensors were changed in place. Gradients of gradients are left out: closures run under NoGrad.
#pragma once

#include <mica/core/scope.h>
#include <mica/core/tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace mica {

using Gradients = std::vector<Tensor>;                      // one for each input, undefined where none is needed
using Backward = std::function<Gradients(const Tensor& gy)>;

struct Node;

// What the graph knows of one tensor. Outlives the tensor's elements, which it does not hold.
struct GradMeta {
  bool requires_grad = false;
  std::shared_ptr<Node> node;  // what made it; null for a leaf
  Tensor grad;                 // leaves only
  Shape shape;
  DType dtype = DType::f32;
};

struct Node {
  const char* name;
  std::uint64_t sequence;
  std::vector<std::shared_ptr<GradMeta>> inputs;
  Scope::Name scope;  // in which it was recorded
  Backward backward;  // empty once it has run, unless it keeps nothing
  bool keeps_nothing = false;

  ~Node();
};

// Within its scope no op of this thread is recorded.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool before_;
};
bool grad_enabled();

// Makes y the result of op `name` on inputs (undefined ones are skipped over), where grad mode is on and one of them
// requires a gradient; otherwise does nothing. A gradient may have the shape of y where the input was broadcast.
// keeps_nothing: the closure holds no tensors and may run again, in another backward.
void record(const char* name, Tensor& y, const std::vector<Tensor>& inputs, Backward backward, bool keeps_nothing = false);

// Backward from several tensors at once, each with its gradient: as Tensor::backward, but a graph that they share is walked
// (and freed) once.
void backward(const std::vector<Tensor>& tensors, const std::vector<Tensor>& gys);

// A tensor kept for backward: detached, and checked to be unchanged when it is read.
class Saved {
 public:
  Saved(const char* op, const Tensor& tensor);
  const Tensor& get() const;

 private:
  const char* op_;
  Tensor tensor_;
  std::uint32_t version_ = 0;
};

}  // namespace mica
