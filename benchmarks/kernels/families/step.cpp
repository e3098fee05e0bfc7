// A whole training step of gap-19k, forward, backward and update, on random images that stay where they are.
#include "../../../examples/ceilings/clock.h"
#include "../../../examples/networks/network.h"
#include "../../../examples/training/choices.h"
#include "../families.h"

#include <mica/core/cuda_graph.h>
#include <mica/core/ops/loss.h>
#include <mica/core/random.h>
#include <mica/layers/dropout.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace mica::bench::families {

namespace {

class Training {
 public:
  Training(Device device, DType dtype, std::int64_t n, bool dropout) : network_(same_weights()) {
    if (!dropout)
      for (Module* module : network_.modules())
        if (auto* layer = dynamic_cast<Dropout*>(module)) layer->set_p(0);
    network_.to(dtype);
    network_.to(device);
    optimizer_ = training::make_optimizer(networks::find("gap-19k").recipe.optimizer, network_.parameters());
    Tensor images = Tensor::empty({n, 1, 28, 28});
    uniform_(images, -1.7, 1.7, random_key("benchmark"));
    images_ = images.to(dtype).to(device);
    std::vector<std::int64_t> labels;
    for (std::int64_t i = 0; i < n; ++i) labels.push_back(kernels::random_bits(random_key("labels"), static_cast<std::uint64_t>(i)) % 10);
    labels_ = Tensor::from<std::int64_t>(labels, {n}).to(device);
  }
  void step() {
    optimizer_->zero_grad();
    loss_ = nll_loss(network_(images_), labels_);
    loss_.backward();
    optimizer_->step();
    loss_ = loss_.detach();
  }
  double loss() const { return loss_.to(Device::cpu()).to(DType::f64).item<double>(); }

 private:
  static Sequential same_weights() {
    manual_seed(0);
    return networks::find("gap-19k").build();
  }
  Sequential network_;
  std::unique_ptr<Optimizer> optimizer_;
  Tensor images_, labels_, loss_;
};

// Losses of the first steps: the second depends on every gradient of the first. Without dropout, whose masks by cuDNN are others.
std::vector<double> losses(Device device, DType dtype, std::int64_t n) {
  Training training(device, dtype, n, false);
  std::vector<double> values;
  for (int k = 0; k < 2; ++k) training.step(), values.push_back(training.loss());
  return values;
}

// On the CPU in f64, which is the definition of every op; slow, so kept.
const std::vector<double>& expected_losses(std::int64_t n) {
  static std::map<std::int64_t, std::vector<double>> known;
  std::vector<double>& values = known[n];
  if (values.empty()) values = losses(Device::cpu(), DType::f64, n);
  return values;
}

struct Graphed {
  Training training;
  CudaGraph graph;
};

}  // namespace

template <class Context>
void step(Cases<Context>& cases) {
  const std::int64_t n = cases.pick(2, 128, 512);
  auto& c = cases.add("gap-19k, " + std::to_string(n) + " images");
  c.bytes = 1.15e6 * static_cast<double>(n);   // an image's traffic with everything fused that can be: docs/microbenchmarks.md
  c.flops = 29.16e6 * static_cast<double>(n);  // and its convolutions, forward and both gradients
  const auto add = [&](const std::string& name, kernels::Policy policy, Products products) {
    const auto training = std::make_shared<std::optional<Training>>();
    c.implementations.push_back({name, policy, products, 1e-4, [=](Context& context, const Set&) {
                                   if (!*training) training->emplace(device_of(context), DType::f32, n, true);
                                   (*training)->step();
                                 }});
    c.implementations.back().error = [=] {
      const Device device = on_cuda<Context> ? Device::cuda() : Device::cpu();
      const std::vector<double> got = losses(device, DType::f32, n), expected = expected_losses(n);
      return std::max(std::fabs(got[0] - expected[0]), std::fabs(got[1] - expected[1])) / std::fabs(expected[0]);
    };
  };
  add("auto", kernels::Policy::automatic, Products::three_tf32);
  if (!on_cuda<Context>) return add("oneDNN", kernels::Policy::library, Products::f32);
  add("cuDNN", kernels::Policy::library, Products::f32);
  const auto graphed = std::make_shared<std::unique_ptr<Graphed>>();
  c.implementations.push_back(
      {"auto, graph", kernels::Policy::automatic, Products::three_tf32, 1e-4, [=](Context& context, const Set&) {
         if (!*graphed) {
           graphed->reset(new Graphed{Training(device_of(context), DType::f32, n, true), CudaGraph(device_of(context))});
           (*graphed)->graph.capture([&training = (*graphed)->training](int) { training.step(); });
         }
         (*graphed)->graph.replay();
       }});
  c.implementations.back().error = [=] {  // capturing does the first step, a replay the second
    Training training(Device::cuda(), DType::f32, n, false);
    CudaGraph graph;
    graph.capture([&](int) { training.step(); });
    graph.replay();
    const std::vector<double>& expected = expected_losses(n);
    return std::fabs(training.loss() - expected[1]) / std::fabs(expected[0]);
  };
}

}  // namespace mica::bench::families

MICA_FAMILY(step)
