// Residual: y = body(x) + shortcut(x), or body(x) + x without a shortcut. Both must give the same shape.
//   Sequential body;
//   body.add("conv", Conv2d(8, 8, 3, {.padding = 1})).add("norm", BatchNorm2d(8)).add("relu", ReLU());
//   net.add("skip1", Residual(std::move(body)));
//   net.add("skip2", Residual(Conv2d(8, 16, 3, {.padding = 1}), Conv2d(8, 16, 1)));  // a projection of x
// Children are named body and shortcut. A Residual that is itself a body goes into a Sequential.
#pragma once

#include <mica/layers/module.h>

#include <memory>

namespace mica {

class Residual : public Module {
 public:
  template <class Body>
  explicit Residual(Body body) : body_(std::make_unique<Body>(std::move(body))) {}
  template <class Body, class Shortcut>
  Residual(Body body, Shortcut shortcut)
      : body_(std::make_unique<Body>(std::move(body))), shortcut_(std::make_unique<Shortcut>(std::move(shortcut))) {}

  Tensor forward(const Tensor& x) override;
  void visit(Visitor& v) override;
  const char* kind() const override { return "Residual"; }

 private:
  std::unique_ptr<Module> body_, shortcut_;  // no shortcut: x itself
};

}  // namespace mica
