// Sequential: modules one after the other, each with a name.
//   Sequential net;
//   net.add("conv1", Conv2d(1, 16, 3));
//   net.add("norm1", BatchNorm2d(16));
//   net.add("relu1", ReLU());
// Its forward looks ahead and runs a batch norm with a following ReLU and Dropout (in either order) as one kernel; the
// result is the same to the bit (tests/layers/layers_test.cpp).
#pragma once

#include <mica/layers/module.h>

#include <memory>

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
  std::size_t run_fused(std::size_t at, Tensor& x);
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
