#include "../catch.h"
#include "../compare.h"

#include <mica/core/error.h>
#include <mica/core/ops.h>
#include <mica/core/random.h>
#include <mica/layers/layers.h>

using namespace mica;
using namespace mica::test;

namespace {

Tensor noise(const Shape& shape, const char* use) {
  Tensor x = Tensor::empty(shape, DType::f64);
  uniform_(x, -2, 2, random_key(use));
  return x;
}

// The layer gives what its op gives, forward and backward, has no parameters, and calls itself `kind`.
template <class L, class F>
void equals(L layer, const char* kind, const Shape& shape, const F& op) {
  INFO(kind);
  Tensor x = noise(shape, "x").set_requires_grad(), again = noise(shape, "x").set_requires_grad();
  const Tensor y = layer(x), expected = op(again);
  CHECK(same_bits(y.detach(), expected.detach()));
  const Tensor gy = noise(y.shape(), "gy");
  y.backward(gy);
  expected.backward(gy);
  CHECK(same_bits(x.grad(), again.grad()));
  CHECK(largest(x.grad()) > 0);
  CHECK(std::string(layer.kind()) == kind);
  CHECK(layer.state_dict().empty());
}

}  // namespace

TEST_CASE("activation layers are their ops, with the options given") {
  const Shape shape{3, 5, 2, 4};
  equals(ReLU(), "ReLU", shape, [](const Tensor& x) { return relu(x); });
  equals(LeakyReLU(), "LeakyReLU", shape, [](const Tensor& x) { return leaky_relu(x, 0.01); });
  equals(LeakyReLU(0.3), "LeakyReLU", shape, [](const Tensor& x) { return leaky_relu(x, 0.3); });
  equals(Sigmoid(), "Sigmoid", shape, [](const Tensor& x) { return sigmoid(x); });
  equals(Tanh(), "Tanh", shape, [](const Tensor& x) { return mica::tanh(x); });
  equals(GELU(), "GELU", shape, [](const Tensor& x) { return gelu(x, GeluApproximation::none); });
  equals(GELU(GeluApproximation::tanh), "GELU", shape, [](const Tensor& x) { return gelu(x, GeluApproximation::tanh); });
  equals(Softmax(1), "Softmax", shape, [](const Tensor& x) { return softmax(x, 1); });
  equals(Softmax(-1), "Softmax", shape, [](const Tensor& x) { return softmax(x, 3); });
  equals(LogSoftmax(), "LogSoftmax", shape, [](const Tensor& x) { return log_softmax(x, 1); });
  equals(LogSoftmax(2), "LogSoftmax", shape, [](const Tensor& x) { return log_softmax(x, 2); });
}

TEST_CASE("pooling layers are their ops, with a number or a pair") {
  const Shape shape{2, 3, 8, 11};
  equals(MaxPool2d(2), "MaxPool2d", shape, [](const Tensor& x) { return max_pool2d(x, {{2, 2}, {{2, 2}}}); });
  equals(MaxPool2d({3, 2}), "MaxPool2d", shape, [](const Tensor& x) { return max_pool2d(x, {{3, 2}, {{3, 2}}}); });
  equals(MaxPool2d({3, 2}, {.stride = {0, 1}, .padding = {1, 0}, .dilation = {1, 3}, .ceil_mode = true}), "MaxPool2d", shape,
         [](const Tensor& x) { return max_pool2d(x, {{3, 2}, {{3, 1}}, {1, 0}, {1, 3}, true}); });
  equals(AvgPool2d(3), "AvgPool2d", shape, [](const Tensor& x) { return avg_pool2d(x, {{3, 3}, {{3, 3}}, {0, 0}, false, true, {}}); });
  equals(AvgPool2d({3, 4}, {.stride = 2, .padding = {1, 2}, .ceil_mode = true, .count_include_pad = false}), "AvgPool2d", shape,
         [](const Tensor& x) { return avg_pool2d(x, {{3, 4}, {{2, 2}}, {1, 2}, true, false, {}}); });
  equals(AvgPool2d(2, {.divisor_override = 3}), "AvgPool2d", shape,
         [](const Tensor& x) { return avg_pool2d(x, {{2, 2}, {{2, 2}}, {0, 0}, false, true, 3}); });
  equals(AdaptiveAvgPool2d(3), "AdaptiveAvgPool2d", shape, [](const Tensor& x) { return adaptive_avg_pool2d(x, {3, 3}); });
  equals(AdaptiveAvgPool2d(5, std::nullopt), "AdaptiveAvgPool2d", shape, [](const Tensor& x) { return adaptive_avg_pool2d(x, {5, 11}); });
  equals(GlobalAvgPool(), "GlobalAvgPool", shape, [](const Tensor& x) { return global_avg_pool(x); });
  equals(Flatten(), "Flatten", shape, [](const Tensor& x) { return x.reshape({2, 264}); });
}

TEST_CASE("errors of stateless layers carry their path") {
  Sequential net;
  net.add("pool", MaxPool2d({9, 2})).add("softmax", Softmax(4));
  CHECK(error_text<ShapeError>([&] { net(Tensor::zeros({1, 1, 8, 8})); }) ==
        "pool: max_pool2d: the 9×2 window with dilation 1×1 does not fit into the 8×8 image with padding 0×0");
  const std::string text = error_text<ShapeError>([&] { net(Tensor::zeros({1, 1, 9, 8})); });
  CHECK(text.substr(0, 17) == "softmax: softmax:");
}
