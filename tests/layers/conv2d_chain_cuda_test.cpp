// Chains of convolutions, batch norms, ReLU and dropout on CUDA: run as one op in f32, against the layers one by one on the CPU in f64.
#include "../compare.h"
#include "../no_device.h"
#include "../tensor_cores.h"

#include <mica/core/autograd.h>
#include <mica/core/cuda_graph.h>
#include <mica/core/error.h>
#include <mica/core/memory.h>
#include <mica/core/ops.h>
#include <mica/core/ops/conv2d_chain.h>
#include <mica/core/random.h>
#include <mica/core/settings.h>
#include <mica/layers/layers.h>

#ifdef MICA_CUDA_EMULATED
#include <emulator/device.h>
#endif

#include <cmath>
#include <functional>
#include <optional>
#include <span>

using namespace mica;
using namespace mica::test;

namespace {

Sequential inner() {  // begins with a norm, as behind another convolution; dropout before and after ReLU
  Sequential net;
  net.add("norm0", BatchNorm2d(16)).add("relu0", ReLU()).add("drop0", Dropout(0.2));
  net.add("conv1", Conv2d(16, 16, 3)).add("norm1", BatchNorm2d(16)).add("relu1", ReLU());
  net.add("conv2", Conv2d(16, 16, 3, {.padding = 1, .bias = false})).add("norm2", BatchNorm2d(16)).add("drop2", Dropout(0.3)).add("relu2", ReLU());
  net.add("conv3", Conv2d(16, 32, 3)).add("norm3", BatchNorm2d(32)).add("relu3", ReLU()).add("drop3", Dropout(0.1));
  return net;
}

Sequential outer() {  // begins with a convolution, and ends with one that has no norm
  Sequential net;
  net.add("conv1", Conv2d(16, 16, 3, {.padding = 1})).add("norm1", BatchNorm2d(16, {.momentum = std::nullopt})).add("relu1", ReLU()).add("drop1", Dropout(0));
  net.add("conv2", Conv2d(16, 32, 3)).add("relu2", ReLU());
  return net;
}

Sequential shortest() {
  Sequential net;
  net.add("conv1", Conv2d(16, 32, 3, {.bias = false})).add("norm1", BatchNorm2d(32)).add("relu1", ReLU());
  return net;
}

struct Scopes final : ScopeObserver {
  std::vector<std::string> entered;
  void enter(const std::string& name, Pass pass) noexcept override { entered.push_back(name + (pass == Pass::backward ? " backward" : "")); }
  void leave(const std::string&, Pass) noexcept override {}
};

struct Outcome {
  Tensor y, gx;
  std::vector<Tensor> gradients;
  StateDict state;
};

// Values and gradients of two calls, whose masks differ.
Outcome run(const std::function<Sequential()>& make, Device device, DType dtype, bool training, const Shape& shape, bool fused = true) {
  manual_seed(21);
  Sequential net = make();
  for (Module* module : net.modules())
    if (auto* norm = dynamic_cast<BatchNorm*>(module)) {
      uniform_(norm->weight, 0.5, 1.5, random_key("weight", 1)), uniform_(norm->bias, -0.5, 0.5, random_key("bias", 1));
      uniform_(norm->running_var, 0.5, 1.5, random_key("variance", 1)), uniform_(norm->running_mean, -0.5, 0.5, random_key("mean", 1));
    }
  Tensor host_x = Tensor::empty(shape), host_gy;
  uniform_(host_x, -1, 2, random_key("x", 1));
  net.to(dtype), net.to(device), net.train(training);
  Tensor x = host_x.to(dtype).to(device);
  x.set_requires_grad();
  Outcome outcome;
  std::optional<NoFusion> one_by_one;
  if (!fused) one_by_one.emplace();
  for (int call = 0; call < 2; ++call) {
    outcome.y = net(x);
    Tensor gy = Tensor::empty(outcome.y.shape());
    uniform_(gy, -1, 1, random_key("gy", 1));
    outcome.y.backward(gy.to(dtype).to(device));
  }
  outcome.gx = x.grad();
  for (const Tensor& p : net.parameters()) outcome.gradients.push_back(p.grad());
  outcome.state = net.state_dict();
  return outcome;
}

// ‖got − want‖ / ‖want‖
double error(const Tensor& got, const Tensor& want) {
  double off = 0, size = 0;
  const std::vector<double> a = values(got.detach()), b = values(want.detach());
  for (std::size_t i = 0; i < b.size(); ++i) off += (a[i] - b[i]) * (a[i] - b[i]), size += b[i] * b[i];
  return std::sqrt(off) / std::max(std::sqrt(size), 1e-30);
}

// A bias before a batch norm has no gradient but rounding's: of such the size counts.
void check_close(const Outcome& got, const Outcome& want, double most) {
  CHECK(error(got.y, want.y) < most);
  CHECK(error(got.gx, want.gx) < most);
  REQUIRE(got.gradients.size() == want.gradients.size());
  for (std::size_t i = 0; i < want.gradients.size(); ++i) {
    INFO("parameter " << i << " of shape " << to_string(want.gradients[i].shape()));
    double size = 0;
    for (const double g : values(want.gradients[i])) size = std::max(size, std::abs(g));
    if (size < 1e-9) CHECK(error(got.gradients[i] + 1, want.gradients[i] + 1) < most);
    else CHECK(error(got.gradients[i], want.gradients[i]) < most);
  }
  for (std::size_t i = 0; i < want.state.size(); ++i) {
    INFO(want.state[i].first);
    CHECK(error(got.state[i].second, want.state[i].second) < most);
  }
}

}  // namespace

TEST_CASE("chains of convolutions on CUDA equal their layers one by one", "[cuda]") {
  if (no_tensor_cores()) return;
  const Device cuda = Device::cuda();
  struct Case {
    const char* name;
    Sequential (*make)();
    int convolutions;
    Shape shape;
  };
  for (const Case& c : {Case{"inner", inner, 3, {2, 16, 7, 9}}, {"outer", outer, 2, {2, 16, 9, 5}}, {"shortest", shortest, 1, {1, 16, 13, 5}}})
    for (const bool training : {true, false}) {
      INFO(c.name << (training ? ", training" : ", evaluation"));
      const Outcome want = run(c.make, Device(), DType::f64, training, c.shape);
      const Tf32Allowed no(false);
#ifdef MICA_CUDA_EMULATED
      const int before = emulator::submitted("conv2d_pack_filters"), applied = emulator::submitted("batch_norm_apply");
#endif
      const Outcome exact = run(c.make, cuda, DType::f32, training, c.shape);
#ifdef MICA_CUDA_EMULATED
      CHECK(emulator::submitted("conv2d_pack_filters") == before + 2 * c.convolutions);          // once for both passes
      CHECK(emulator::submitted("batch_norm_apply") == applied + (c.make == outer ? 0 : 2));     // behind the last convolution only
#endif
      check_close(exact, want, 3e-6);
      check_close(run(c.make, cuda, DType::f32, training, c.shape, false), want, 3e-6);
      const Tf32Allowed yes(true);
      // Rounding to 2⁻¹¹ moves some values over ReLU's edge, where a gradient is there or not: 3 % is one in a thousand.
      check_close(run(c.make, cuda, DType::f32, training, c.shape), want, 6e-2);
    }
}

TEST_CASE("what a chain learns of its batches stays exact far from zero", "[cuda]") {
  if (no_tensor_cores()) return;
  const auto make = [] {
    Sequential net = inner();
    for (Module* module : net.modules())
      if (auto* conv = dynamic_cast<Conv2d*>(module); conv && conv->bias.defined()) conv->bias.detach().fill_(3000);
    return net;
  };
  const Tf32Allowed no(false);
  const Outcome want = run(make, Device(), DType::f64, true, {2, 16, 7, 9}), got = run(make, Device::cuda(), DType::f32, true, {2, 16, 7, 9});
  for (std::size_t i = 0; i < want.state.size(); ++i)
    if (want.state[i].first.find("running_var") != std::string::npos) {
      INFO(want.state[i].first);
      CHECK(error(got.state[i].second, want.state[i].second) < 2e-3);  // f32 has 2.4e-4 between neighbours there
    }
}

TEST_CASE("a captured chain has the bits of the chain itself", "[cuda]") {
  if (no_tensor_cores()) return;
  const Device cuda = Device::cuda();
  std::vector<std::vector<double>> losses;
  for (const bool captured : {false, true}) {
    manual_seed(4);
    Sequential net = inner();
    net.to(cuda);
    Tensor x = Tensor::empty({2, 16, 8, 9});
    uniform_(x, -1, 1, random_key("x", 1));
    x = x.to(cuda);
    std::vector<Tensor> steps;  // of a graph the first step itself, and what replays write
    const auto step = [&](int) {
      net.zero_grad();
      const Tensor y = net(x), loss = mean(y * y);
      loss.backward();
      steps.push_back(loss.detach());
      const NoGrad none;
      for (Tensor p : net.parameters()) p.copy_(p.detach() - 0.1F * p.grad());
    };
    std::optional<CudaGraph> graph;
    auto& said = losses.emplace_back();
    for (int i = 0; i < 3; ++i) {
      if (!captured) step(i);
      else if (!graph) graph.emplace(cuda).capture(step);
      else graph->replay();
      said.push_back(values(captured && i == 0 ? steps.front() : steps.back())[0]);
    }
  }
  CHECK(losses[0] == losses[1]);
}

TEST_CASE("a chain that cannot be is left to its layers, and their errors", "[cuda]") {
  if (no_tensor_cores()) return;
  const Device cuda = Device::cuda();
  const Tensor x = Tensor::ones({2, 16, 8, 8}, DType::f32, cuda);
  ChainLink link{.weight = Tensor::ones({16, 16, 3, 3}, DType::f32, cuda)};
  CHECK(chainable(x, std::span(&link, 1)) == 0);  // alone it saves nothing
  link.norm_weight = link.norm_bias = link.running_mean = link.running_var = Tensor::ones({16}, DType::f32, cuda);
  CHECK(chainable(x, std::span(&link, 1)) == 1);
  const auto refused = [&](const Tensor& input, const std::function<void(ChainLink&)>& change) {
    ChainLink other = link;
    change(other);
    return chainable(input, std::span(&other, 1)) == 0;
  };
  CHECK(refused(x.to(DType::f64), [](ChainLink&) {}));
  CHECK(refused(x.to(Device()), [](ChainLink&) {}));
  CHECK(refused(Tensor::ones({2, 16, 8, 30}, DType::f32, cuda), [](ChainLink&) {}));
  CHECK(refused(Tensor::ones({2, 8, 8, 8}, DType::f32, cuda), [](ChainLink&) {}));
  CHECK(refused(Tensor::ones({0, 16, 8, 8}, DType::f32, cuda), [](ChainLink&) {}));
  CHECK(refused(Tensor::ones({2, 16, 2, 8}, DType::f32, cuda), [](ChainLink&) {}));
  for (const char* op : {"conv2d", "batch_norm", "dropout"}) {
    INFO(op);
    set_policy(std::string(op) + "=library");
    CHECK(refused(x, [](ChainLink&) {}) == why_no_cudnn().empty());
    set_policy(Policy::automatic);
  }
  CHECK(refused(x, [](ChainLink& l) { l.options.stride = {2, 2}; }));
  CHECK(refused(x, [](ChainLink& l) { l.options.stride = {0, 0}; }));
  for (const std::int64_t padding : {2, -1}) CHECK(refused(x, [&](ChainLink& l) { l.options.padding = {padding, padding}; }));
  CHECK(refused(x, [](ChainLink& l) { l.norm_bias = Tensor::ones({4}, DType::f32, Device::cuda()); }));
  CHECK(refused(x, [](ChainLink& l) { l.bias = Tensor::ones({4}, DType::f32, Device::cuda()); }));
  CHECK(refused(x, [](ChainLink& l) { l.norm.training = true, l.norm.momentum = std::nullopt; }));
  CHECK(error_text<Error>([&] { conv2d_chain(x.to(DType::f64), std::span(&link, 1)); }) == "conv2d_chain: expected links that chainable() has accepted");

  Sequential net;
  net.add("norm", BatchNorm2d(16)).add("relu", ReLU()).add("conv", Conv2d(8, 16, 3));
  net.to(cuda);
  CHECK(error_text<ShapeError>([&] { net(x); }) == "conv: conv2d: expected 8 input channels, got 16 (input 2×16×8×8, weight 16×8×3×3)");
}

namespace {

struct Doubling : Conv2d {
  using Conv2d::Conv2d;
  Tensor forward(const Tensor& x) override { return 2 * Conv2d::forward(x); }
};

}  // namespace

TEST_CASE("a layer with a forward of its own is not chained", "[cuda]") {
  if (no_tensor_cores()) return;
  const Tf32Allowed no(false);
  manual_seed(3);
  Sequential net;
  net.add("conv", Doubling(16, 16, 3)).add("norm", BatchNorm2d(16)).add("relu", ReLU());
  net.to(Device::cuda()), net.eval();
  const Tensor x = Tensor::ones({1, 16, 5, 5}, DType::f32, Device::cuda()), fused = net(x);
  const NoFusion one_by_one;
  CHECK(difference(fused.to(Device()), net(x).to(Device())) < 1e-5);
}

TEST_CASE("a chain keeps no memory: not without a graph, and not when its graph is gone without backward", "[cuda]") {
  if (no_tensor_cores()) return;
  const Device cuda = Device::cuda();
  Sequential net = outer();
  net.to(cuda);
  const Tensor x = Tensor::ones({2, 16, 9, 5}, DType::f32, cuda);
  net(x);
  const std::size_t before = memory_stats(cuda).current;
  for (int i = 0; i < 3; ++i) net(x);
  CHECK(memory_stats(cuda).current == before);
}

TEST_CASE("a chain's backward has the precision of its forward", "[cuda]") {
  if (no_tensor_cores()) return;
  const auto gradient = [](bool switched) {
    manual_seed(3);
    Sequential net = shortest();
    net.to(Device::cuda());
    Tensor x = Tensor::empty({1, 16, 7, 7});
    uniform_(x, -1, 1, random_key("x", 1));
    x = x.to(Device::cuda());
    x.set_requires_grad();
    const Tf32Allowed no(false);
    const Tensor y = sum(net(x));
    const Tf32Allowed in_backward(switched);
    y.backward();
    return values(x.grad());
  };
  CHECK(gradient(true) == gradient(false));
}

TEST_CASE("each link of a chain has the scope of its convolution, and a norm at an end its own", "[cuda]") {
  if (no_tensor_cores()) return;
  const auto entered = [](const std::function<Sequential()>& make) {
    Sequential net = make();
    net.to(Device::cuda());
    Tensor x = Tensor::ones({1, 16, 9, 9}).to(Device::cuda());
    x.set_requires_grad();
    Scopes scopes;
    const Tensor y = net(x);
    y.backward(Tensor::ones(y.shape()).to(Device::cuda()));
    return scopes.entered;
  };
  CHECK(entered(inner) == std::vector<std::string>{"Sequential", "norm0", "conv1", "conv2", "conv3", "norm3", "Sequential backward", "norm3 backward",
                                                   "conv3 backward", "conv2 backward", "conv1 backward", "norm0 backward"});
  CHECK(entered(outer) == std::vector<std::string>{"Sequential", "conv1", "conv2", "relu2", "relu2 backward", "Sequential backward", "conv2 backward",
                                                   "conv2 backward", "conv1 backward"});
  CHECK(Scope::current() == nullptr);
}
