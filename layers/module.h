// Module: a part of a network, with parameters, buffers and children.
//
// Members are values, and one function names them:
//   struct Net : Module {
//     Conv2d conv1{1, 16, 3};
//     Linear fc{16, 10};
//     void visit(Visitor& v) override { v("conv1", conv1); v("fc", fc); }
//     Tensor forward(const Tensor& x) override { … conv1(x) … }
//     const char* kind() const override { return "Net"; }
//   };
// Everything else follows from the visit: parameters(), state_dict(), train(), to(), paths in errors, summary().
// Modules may be moved before they are first called; they are not copied.
#pragma once

#include <mica/core/scope.h>
#include <mica/core/tensor.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mica {

class Module;

// What visit() names its members to, in definition order.
class Visitor {
 public:
  virtual ~Visitor() = default;
  void operator()(std::string_view name, Tensor& parameter) { on_parameter(name, parameter); }
  void operator()(std::string_view name, Module& child) { on_child(name, child); }
  void buffer(std::string_view name, Tensor& tensor) { on_buffer(name, tensor); }  // saved, but not trained

 private:
  virtual void on_parameter(std::string_view, Tensor&) {}
  virtual void on_buffer(std::string_view, Tensor&) {}
  virtual void on_child(std::string_view, Module&) {}
};

using StateDict = std::vector<std::pair<std::string, Tensor>>;  // key → tensor, in definition order

struct IncompatibleKeys {  // what load_state_dict did not find on the other side; in the network's and in the state's order
  std::vector<std::string> missing_keys, unexpected_keys;
};

class Module {
 public:
  Module() = default;
  virtual ~Module();
  Module(Module&&) = default;
  Module& operator=(Module&&) = default;

  virtual Tensor forward(const Tensor& x) = 0;
  virtual void visit(Visitor&) {}
  virtual const char* kind() const = 0;  // "Conv2d"
  // Multiplications with additions for an output of this shape, as torchinfo counts them.
  virtual std::int64_t mult_adds(const Shape&) { return 0; }
  // For profiles: the FLOP of products in a forward with an output of this shape, a multiplication and an addition each (a bias is what
  // a sum begins with), and how often a training step must read the input before the output can be made.
  virtual std::int64_t flops(const Shape&) { return 0; }
  virtual int input_reads() const { return 1; }

  // forward(), with the module's name in the text of an Error, and the observer told.
  Tensor operator()(const Tensor& x);

  std::vector<Tensor> parameters();
  std::int64_t parameter_count();  // of all parameters; one that is shared counts once
  StateDict state_dict();          // parameters and buffers with PyTorch's keys; shares the tensors
  // Copies values in, converting between f32 and f64 and to wider integers. Strict: all keys must be there and no others;
  // otherwise what has the same key is copied, and the result tells what has not. Shapes must be equal in both. An Error
  // lists everything that differs, and then nothing is changed.
  IncompatibleKeys load_state_dict(const StateDict& state, bool strict = true);

  void train(bool on = true);
  void eval() { train(false); }
  bool training() const { return training_; }
  void zero_grad();
  void to(Device device);  // in place: optimizers keep their handles
  void to(DType dtype);    // of floating parameters and buffers, in place

  const std::string& name() const { return name_; }  // as the parent calls it; "" for a root
  const std::string& path() const { return path_; }  // from the root, "features.conv1"
  const Scope::Name& scope() const { return scope_; }  // the path, or a root's kind; for those who run a module's forward themselves

  // This module, then all below it, in definition order.
  std::vector<Module*> modules();
  std::vector<Module*> children();

 protected:
  void ensure_named();                     // gives the modules below this one their names and paths, once
  void names_changed() { named_ = false; }  // a child was added

 private:
  void name_descendants();
  friend class EvalMode;
  bool training_ = true;
  bool named_ = false;
  std::string name_, path_;
  Scope::Name scope_;  // made with the path
};

// Puts a network and all below it into evaluation mode, and at its end each module back into the mode it had.
class EvalMode {
 public:
  explicit EvalMode(Module& network);
  ~EvalMode();
  EvalMode(const EvalMode&) = delete;
  EvalMode& operator=(const EvalMode&) = delete;

 private:
  std::vector<std::pair<Module*, bool>> before_;
};

// Told of every module's forward on this thread while it lives, and nothing is fused then; observers nest, and the
// innermost is told.
class ForwardObserver {
 public:
  ForwardObserver();
  virtual ~ForwardObserver();
  ForwardObserver(const ForwardObserver&) = delete;
  ForwardObserver& operator=(const ForwardObserver&) = delete;
  virtual void before(Module&, const Tensor&) {}
  virtual void after(Module&, const Tensor& x, const Tensor& y) = 0;
  static bool active();  // does one live on this thread?

 private:
  ForwardObserver* outer_;
};

}  // namespace mica
