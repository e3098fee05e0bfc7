// Sequential: modules one after the other, each with a name.
//   Sequential net;
//   net.add("conv1", Conv2d(1, 16, 3));
//   net.add("norm1", BatchNorm2d(16));
//   net.add("relu1", ReLU());
// Its forward looks ahead and runs a batch norm with a following ReLU and Dropout (in either order) as one kernel; the
// result is the same to the bit (tests/layers/layers_test.cpp). Where they can be chained, on CUDA, it runs convolutions with such groups
// before, between and behind them as one op (core/ops/conv2d_chain.h), which rounds differently; a scope is that of a link then.
#pragma once

#include <mica/layers/module.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

namespace mica {

class Sequential : public Module {
 public:
  // Appends a module, which is moved in. Without a name it gets its number, as in PyTorch. Names may not repeat.
  template <class M> Sequential& add(std::string name, M module) {
    append(std::move(name), std::make_unique<M>(std::move(module)));
    return *this;
  }
  template <class M> Sequential& add(M module) { return add(std::to_string(layers_.size()), std::move(module)); }

  Tensor forward(const Tensor& x) override;
  void visit(Visitor& v) override;
  const char* kind() const override { return "Sequential"; }

 private:
  struct Layer {
    std::string name;
    std::unique_ptr<Module> module;
  };
  void append(std::string name, std::unique_ptr<Module> module);
  struct NormGroup;
  NormGroup norm_group(std::size_t at) const;
  std::size_t run_fused(std::size_t at, Tensor& x);
  std::size_t run_chain(std::size_t at, Tensor& x);
  Tensor run(std::size_t at, const Scope::Name& scope, const std::function<Tensor()>& forward);
  template <class M> M* layer(std::size_t at) const { return at < layers_.size() ? dynamic_cast<M*>(layers_[at].module.get()) : nullptr; }
  // Not one derived from it, whose forward may be another.
  template <class M> M* exactly(std::size_t at) const {
    M* const module = layer<M>(at);
    return module && typeid(*module) == typeid(M) ? module : nullptr;
  }
  std::vector<Layer> layers_;
};

// While it lives, no Sequential on this thread fuses: every module's own forward runs.
class NoFusion {
 public:
  NoFusion();
  ~NoFusion();
  NoFusion(const NoFusion&) = delete;
  NoFusion& operator=(const NoFusion&) = delete;

 private:
  bool before_;
};

}  // namespace mica
