#include "../catch.h"
#include "../compare.h"

#include <mica/core/autograd.h>
#include <mica/core/error.h>
#include <mica/core/ops.h>
#include <mica/core/random.h>
#include <mica/layers/layers.h>

#include <algorithm>
#include <cmath>

using namespace mica;
using namespace mica::test;

namespace {

Tensor noise(const Shape& shape, const char* use) {
  Tensor x = Tensor::empty(shape);
  uniform_(x, -1, 1, random_key(use));
  return x;
}

// Two blocks; ReLU and dropout in both orders.
Sequential blocks() {
  manual_seed(4);
  Sequential net;
  net.add("conv1", Conv2d(2, 17, 3)).add("norm1", BatchNorm2d(17)).add("relu1", ReLU()).add("dropout1", Dropout(0.2));
  net.add("conv2", Conv2d(17, 5, 2)).add("norm2", BatchNorm2d(5)).add("dropout2", Dropout(0.4)).add("relu2", ReLU());
  net.add("norm3", BatchNorm2d(5)).add("relu3", ReLU());
  return net;
}

struct Run {
  Tensor y;
  StateDict state;
  std::vector<Tensor> gradients;
};

Run run_twice(bool fused) {
  Sequential net = blocks();
  Run r;
  for (int i = 0; i < 2; ++i) {
    std::optional<NoFusion> off;
    if (!fused) off.emplace();
    r.y = net(noise({7, 2, 9, 8}, "x"));
  }
  sum(r.y * noise(r.y.shape(), "g")).backward();
  for (const Tensor& p : net.parameters()) r.gradients.push_back(p.grad());
  r.state = net.state_dict();
  return r;
}

}  // namespace

TEST_CASE("fused batch norm, ReLU and dropout equal the separate layers, to the bit forward") {
  const Run fused = run_twice(true), separate = run_twice(false);
  CHECK(same_bits(fused.y.detach(), separate.y.detach()));
  CHECK(largest(fused.y) > 0);
  for (std::size_t i = 0; i < fused.state.size(); ++i) CHECK(same_bits(fused.state[i].second.detach(), separate.state[i].second.detach()));
  for (std::size_t i = 0; i < fused.gradients.size(); ++i) {
    INFO(i);
    // The biases before a batch norm have no effect: their gradients are rounding alone.
    if (largest(separate.gradients[i]) > 1e-4) CHECK(difference(fused.gradients[i], separate.gradients[i]) < 1e-5);
  }
}

TEST_CASE("a dropout layer used twice, and two layers, never repeat a mask") {
  Sequential net;
  net.add("a", Dropout(0.5)).add("b", Dropout(0.5));
  Dropout alone(0.5);
  const Tensor x = Tensor::ones({1000});
  CHECK(!same_bits(alone(x), alone(x)));
  const std::vector<float> both = net(x).to_vector<float>();
  CHECK(std::count(both.begin(), both.end(), 4.0F) < 350);  // a quarter passes both, not a half
  net.eval();
  CHECK(same_bits(net(x), x));
}

TEST_CASE("dropout after a frozen batch norm is kept by the fused pass") {
  Sequential net;
  net.add("norm", BatchNorm2d(4)).add("relu", ReLU()).add("dropout", Dropout(0.5));
  net.children()[0]->eval();
  const std::vector<double> y = values(net(Tensor::ones({8, 4, 8, 8})));
  CHECK(std::count(y.begin(), y.end(), 0.0) > 800);  // of 2048
  {
    const EvalMode eval(net);
    CHECK(!net.training());
  }
  CHECK(net.training());
  CHECK(!net.children()[0]->training());
}

TEST_CASE("dropout layers have streams of their own, however the network is called and made") {
  Sequential net;
  net.add("a", Dropout(0.5));
  net(Tensor::ones({4}));
  net.add("b", Dropout(0.5));
  for (const bool direct : {true, false}) {
    const Tensor x = Tensor::ones({4096});
    const std::vector<double> y = values(direct ? net.forward(x) : net(x));
    CHECK(std::count(y.begin(), y.end(), 0.0) > 2800);  // three quarters are dropped by one or the other
  }
}

TEST_CASE("a parameter that two names share is counted, and updated, once") {
  struct Tied : Module {
    Linear a{3, 3, false}, b{3, 3, false};
    Tied() { b.weight = a.weight; }
    Tensor forward(const Tensor& x) override { return b(a(x)); }
    void visit(Visitor& v) override { v("a", a); v("b", b); }
    const char* kind() const override { return "Tied"; }
  } tied;
  CHECK(tied.parameters().size() == 1);
  CHECK(tied.parameter_count() == 9);
  CHECK(tied.state_dict().size() == 2);
}

TEST_CASE("PyTorch's default initialisation: uniform within 1/√fan_in, seeded") {
  manual_seed(1);
  const Conv2d conv(8, 64, 3, {.groups = 2});
  const double bound = 1 / std::sqrt(4.0 * 9);
  double square = 0;
  for (const double v : values(conv.weight)) {
    CHECK(std::abs(v) <= bound);
    square += v * v;
  }
  CHECK(square / static_cast<double>(conv.weight.numel()) == Approx(bound * bound / 3).epsilon(0.1));
  CHECK(largest(conv.bias) <= bound);
  CHECK(largest(Linear(100, 10).weight) <= 0.1);
  manual_seed(1);
  CHECK(same_bits(Conv2d(8, 64, 3, {.groups = 2}).weight.detach(), conv.weight.detach()));
  CHECK(!same_bits(Conv2d(8, 64, 3, {.groups = 2}).weight.detach(), conv.weight.detach()));
}

TEST_CASE("state dict: PyTorch's keys in definition order, loading is strict") {
  Sequential net = blocks();
  std::vector<std::string> keys;
  for (const auto& [key, tensor] : net.state_dict()) keys.push_back(key);
  const std::vector<std::string> first(keys.begin(), keys.begin() + 7);
  CHECK(first == std::vector<std::string>{"conv1.weight", "conv1.bias", "norm1.weight", "norm1.bias", "norm1.running_mean",
                                          "norm1.running_var", "norm1.num_batches_tracked"});
  Sequential other = blocks();
  other.to(DType::f64);
  other.load_state_dict(net.state_dict());
  CHECK(difference(other.parameters()[0], net.parameters()[0]) == 0);

  StateDict bad = net.state_dict();
  bad[0].second = Tensor::zeros({1});
  bad[1].first = "else";
  const Tensor before = net.parameters()[4].clone();
  CHECK(error_text<Error>([&] { net.load_state_dict(bad); }) ==
        "load_state_dict: the weights are of another network: conv1.weight is 1, expected 17×2×3×3; missing conv1.bias; unexpected else");
  CHECK(same_bits(net.parameters()[4].detach(), before.detach()));
}

TEST_CASE("errors carry the path of the layer") {
  Sequential inner;
  inner.add("conv1", Conv2d(16, 8, 3)).add("norm1", BatchNorm2d(4)).add("relu1", ReLU());
  Sequential net;
  net.add("features", std::move(inner));
  CHECK(error_text<ShapeError>([&] { net(Tensor::zeros({2, 8, 14, 14})); }) ==
        "features.conv1: conv2d: expected 16 input channels, got 8 (input 2×8×14×14, weight 8×16×3×3)");
  CHECK(error_text<ShapeError>([&] { net(Tensor::zeros({2, 16, 14, 14})); }) ==
        "features.norm1: batch_norm: expected weight of shape 8, one for each channel, got 4 (input 2×8×12×12)");
  CHECK(error_text<Error>([&] { net.add("features", ReLU()); }) == "Sequential: the name 'features' is there already; names must differ");
}

TEST_CASE("running statistics: biased for the batch, unbiased for the buffer, averaged without momentum") {
  const Tensor x = Tensor::from<float>({1, 2, 3, 4}, {4, 1, 1, 1});
  BatchNorm2d norm(1);
  norm(x);
  CHECK(norm.running_var.item<float>() == Approx(1.0667).epsilon(1e-4));  // 0.9 · 1 + 0.1 · 5/3
  CHECK(norm.running_mean.item<float>() == Approx(0.25));
  BatchNorm2d average(1, {.momentum = std::nullopt});
  average(x);
  average(Tensor::from<float>({3, 4, 5, 6}, {4, 1, 1, 1}));
  CHECK(average.running_mean.item<float>() == Approx(3.5));
  CHECK(average.num_batches_tracked.item<std::int64_t>() == 2);
  average.eval();
  average(x);
  CHECK(average.num_batches_tracked.item<std::int64_t>() == 2);
}

TEST_CASE("to() changes parameters in place, so that other handles follow") {
  Conv2d conv(1, 2, 3);
  const Tensor handle = conv.weight;
  conv.to(DType::f64);
  CHECK(handle.dtype() == DType::f64);
  CHECK(handle.requires_grad());
  sum(conv(Tensor::ones({1, 1, 3, 3}, DType::f64))).backward();
  CHECK(handle.grad().dtype() == DType::f64);
}

TEST_CASE("summary counts a shared module once and restores the mode") {
  Sequential net;
  net.add("conv1", Conv2d(1, 4, 3)).add("flatten", Flatten()).add("fc", Linear(4 * 4 * 5, 3));
  const std::string text = summary(net, {1, 1, 6, 7});
  CHECK(text.find("conv1 (Conv2d)" + std::string(35, ' ') + "1×4×4×5" + std::string(14, ' ') + "40\n") != std::string::npos);
  CHECK(text.find("Parameters: 283 (all trainable)\nMult-adds: 1,043\n") != std::string::npos);  // 40 · 20 + 243
  CHECK(net.training());
}
