#include "../catch.h"
#include "../compare.h"

#include <mica/core/error.h>
#include <mica/core/ops.h>
#include <mica/core/random.h>
#include <mica/layers/layers.h>

#include <algorithm>

using namespace mica;
using namespace mica::test;

namespace {

Tensor noise(const Shape& shape, const char* use) {
  Tensor x = Tensor::empty(shape, DType::f64);
  uniform_(x, -1, 1, random_key(use));
  return x;
}

Sequential block() {
  Sequential body;
  body.add("conv", Conv2d(3, 3, 3, {.padding = 1})).add("norm", BatchNorm2d(3)).add("relu", ReLU());
  return body;
}

}  // namespace

TEST_CASE("Residual adds its input, or the shortcut's output, and gradients flow through both") {
  manual_seed(8);
  Residual plain(block()), projected(Conv2d(3, 5, 3, {.padding = 1}), Conv2d(3, 5, 1));
  for (Residual* residual : {&plain, &projected}) {
    residual->to(DType::f64);
    Tensor x = noise({2, 3, 5, 4}, "x").set_requires_grad(), again = noise({2, 3, 5, 4}, "x").set_requires_grad();
    const Tensor y = (*residual)(x);
    const Tensor weights = noise(y.shape(), "weights");
    sum(y * weights).backward();
    std::vector<Tensor> gradients;
    for (const Tensor& p : residual->parameters()) gradients.push_back(p.grad());
    residual->zero_grad();

    const std::vector<Module*> parts = residual->children();
    const Tensor expected = add((*parts[0])(again), parts.size() == 2 ? (*parts[1])(again) : again);
    sum(expected * weights).backward();
    CHECK(difference(y.detach(), expected.detach()) == 0);
    CHECK(difference(x.grad(), again.grad()) < 1e-15);
    for (std::size_t i = 0; i < gradients.size(); ++i) CHECK(difference(gradients[i], residual->parameters()[i].grad()) < 1e-15);
  }
  // A body of zeros leaves x and its gradient as they were.
  Residual identity(Conv2d(3, 3, 1));
  identity.to(DType::f64);
  for (const Tensor& p : identity.parameters()) p.detach().fill_(0);
  Tensor x = noise({1, 3, 2, 2}, "x").set_requires_grad();
  const Tensor y = identity(x);
  CHECK(same_bits(y.detach(), x.detach()));
  sum(y).backward();
  CHECK(same_bits(x.grad(), Tensor::ones({1, 3, 2, 2}, DType::f64)));
}

TEST_CASE("dropouts in the body and in the shortcut of a Residual have masks of their own, however it is called") {
  for (const bool direct : {true, false}) {
    Residual residual(Dropout(0.5), Dropout(0.5));
    const Tensor x = Tensor::ones({4096});
    const std::vector<double> y = values(direct ? residual.forward(x) : residual(x));
    CHECK(std::count(y.begin(), y.end(), 2.0) > 1800);  // one of two dropped: a half of all
  }
}

TEST_CASE("Residual: keys, paths and shapes") {
  Sequential net;
  net.add("skip", Residual(block(), Conv2d(3, 3, 1, {.bias = false})));
  std::vector<std::string> keys;
  for (const auto& [key, tensor] : net.state_dict()) keys.push_back(key);
  CHECK(keys == std::vector<std::string>{"skip.body.conv.weight", "skip.body.conv.bias", "skip.body.norm.weight", "skip.body.norm.bias",
                                         "skip.body.norm.running_mean", "skip.body.norm.running_var",
                                         "skip.body.norm.num_batches_tracked", "skip.shortcut.weight"});
  CHECK(error_text<ShapeError>([&] { net(Tensor::zeros({1, 4, 5, 5})); }) ==
        "skip.body.conv: conv2d: expected 3 input channels, got 4 (input 1×4×5×5, weight 3×3×3×3)");
  Sequential narrow, wide;
  narrow.add("skip", Residual(Conv2d(3, 3, 3)));
  wide.add("skip", Residual(Conv2d(3, 3, 1), Conv2d(3, 1, 1)));
  CHECK(error_text<ShapeError>([&] { narrow(Tensor::zeros({1, 3, 5, 5})); }) ==
        "skip: Residual: the body makes 1×3×3×3 of the input 1×3×5×5, but the shortcut is 1×3×5×5; keep the shape in the body, or give a "
        "shortcut that changes it too");
  CHECK(error_text<ShapeError>([&] { wide(Tensor::zeros({1, 3, 5, 5})); }) ==
        "skip: Residual: the body makes 1×3×5×5 of the input 1×3×5×5, but the shortcut is 1×1×5×5; both must give one shape");
  const std::string text = summary(net, {2, 3, 5, 5});
  CHECK(text.find("skip.body.conv (Conv2d)") != std::string::npos);
  CHECK(text.find("Parameters: 99 (all trainable)\nMult-adds: 4,662\n") != std::string::npos);  // 84 · 50 + 6 · 2 + 9 · 50
}
