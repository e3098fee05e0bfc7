// Optimizers, their state and weight files with parameters on a CUDA device: everything stays there, and nothing but bits of the
// CPU's comes out.
#include "../compare.h"
#include "../no_device.h"
#include "../scratch_folder.h"

#include <mica/core/error.h>
#include <mica/core/random.h>
#include <mica/core/safetensors.h>
#include <mica/layers/conv2d.h>
#include <mica/layers/sequential.h>
#include <mica/optim/adam.h>
#include <mica/optim/average.h>
#include <mica/optim/rmsprop.h>
#include <mica/optim/sgd.h>

#ifdef MICA_CUDA_EMULATED
#include <emulator/device.h>
#endif

#include <memory>

using namespace mica;
using namespace mica::test;

namespace {

Tensor noise(const Shape& shape, std::uint32_t number, DType dtype) {
  Tensor x = Tensor::empty(shape, dtype);
  uniform_(x, -1, 1, random_key("optim_cuda_test", number));
  return x;
}

// f32 and f64 in one group.
std::vector<Tensor> parameters(Device device) {
  std::vector<Tensor> made;
  std::uint32_t number = 0;
  for (const DType dtype : {DType::f32, DType::f64})
    for (const Shape& shape : {Shape{3, 2, 3, 3}, Shape{700}, Shape{}})
      made.push_back(noise(shape, number++, dtype).to(device).set_requires_grad());
  return made;
}

void step(Optimizer& optimizer, const std::vector<Tensor>& all, std::uint32_t number) {
  for (const Tensor& p : all) p.set_grad(noise(p.shape(), 100 + number++, p.dtype()).to(p.device()));
  optimizer.step();
}

void check_same(const std::vector<Tensor>& there, const std::vector<Tensor>& here) {
  for (std::size_t i = 0; i < here.size(); ++i) {
    CHECK(there[i].device() == Device::cuda());
    CHECK(same_bits(there[i].detach().to(Device::cpu()), here[i].detach()));
  }
}

}  // namespace

TEST_CASE("optimizers on CUDA: the CPU's bits, through a saved state and back", "[cuda]") {
  if (no_device()) return;
  const ScratchFolder folder;
  const std::vector<Tensor> here = parameters(Device::cpu()), there = parameters(Device::cuda());
  Adam cpu(here, {.lr = 0.1, .weight_decay = 0.01}), cuda(there, {.lr = 0.1, .weight_decay = 0.01});
  for (std::uint32_t k = 0; k < 3; ++k) step(cpu, here, k), step(cuda, there, k);
  check_same(there, here);
  const Optimizer::State state = cuda.state();
  for (const auto& [key, tensor] : state)
    if (key.find("exp_avg") != std::string::npos) CHECK(tensor.device() == Device::cuda());
  save_safetensors(folder.path / "state", {state, {}});
  Adam resumed(there, {.lr = 5});
  resumed.load_state(load_safetensors(folder.path / "state").tensors);  // of the CPU
  for (const auto& [key, tensor] : resumed.state())
    if (key.find("exp_avg") != std::string::npos) CHECK(tensor.device() == Device::cuda());
  Adam back(here, {.lr = 5});
  back.load_state(state);  // of CUDA
  Adam again(here, {.lr = 5});
  again.load_state(cpu.state());
  CHECK(same_bits(back.state()[2].second, again.state()[2].second));
  resumed.zero_grad();
  CHECK(!there[0].grad().defined());
}

TEST_CASE("SGD on CUDA: the CPU's bits, and its memory follows a parameter that moves", "[cuda]") {
  if (no_device()) return;
  const std::vector<Tensor> here = parameters(Device::cpu()), there = parameters(Device::cpu());
  Sgd cpu(here, {.lr = 0.1, .momentum = 0.9, .nesterov = true}), cuda(there, {.lr = 0.1, .momentum = 0.9, .nesterov = true});
  for (std::uint32_t k = 0; k < 2; ++k) step(cpu, here, k), step(cuda, there, k);
  for (Tensor p : there) p.adopt(p.detach().to(Device::cuda()));
  for (std::uint32_t k = 2; k < 4; ++k) step(cpu, here, k), step(cuda, there, k);
  check_same(there, here);
}

TEST_CASE("AdamW, RMSprop and averages on CUDA: the CPU's bits, which stand in for the weights there", "[cuda]") {
  if (no_device()) return;
  const auto both = [](const auto& make) {
    const std::vector<Tensor> here = parameters(Device::cpu()), there = parameters(Device::cpu());
    const std::unique_ptr<Optimizer> cpu = make(here), cuda = make(there);
    const auto named = [](const std::vector<Tensor>& all, const Tensor& count) {
      NamedTensors names{{"count", count}};
      for (std::size_t i = 0; i < all.size(); ++i) names.emplace_back(std::to_string(i), all[i]);
      return names;
    };
    Tensor count = Tensor::zeros({}, DType::i64);
    ExponentialMovingAverage average_here(named(here, count.clone()), 0.9), average_there(named(there, count), 0.9);
    for (Tensor p : there) p.adopt(p.detach().to(Device::cuda()));
    CHECK(error_text<DeviceError>([&] { average_there.update(); }) ==
          "ExponentialMovingAverage: tensors are on cpu and cuda:0, expected one device; move one with to()");
    count.adopt(count.to(Device::cuda()));
    count.fill_(7);
    for (std::uint32_t k = 0; k < 3; ++k) {
      step(*cpu, here, k), step(*cuda, there, k);
      average_here.update(), average_there.update();
    }
    check_same(there, here);
    const std::vector<double> own = values(there[1]);
    {
      const AveragedWeights in_use_here(average_here), in_use_there(average_there);
      check_same(there, here);
      CHECK(values(there[1]) != own);
      CHECK(count.item<std::int64_t>() == 7);
    }
    CHECK(values(there[1]) == own);
  };
  both([](const std::vector<Tensor>& p) { return std::make_unique<AdamW>(p, AdamWOptions{.lr = 0.1}); });
  both([](const std::vector<Tensor>& p) { return std::make_unique<RMSprop>(p, RMSpropOptions{.momentum = 0.9, .centered = true}); });
  both([](const std::vector<Tensor>& p) { return std::make_unique<RMSprop>(p); });
}

TEST_CASE("parameters of a group on two devices are an error that changes nothing", "[cuda]") {
  if (no_device()) return;
  const Tensor a = Tensor::ones({3}).set_requires_grad(), b = Tensor::ones({3}).to(Device::cuda()).set_requires_grad();
  for (const Tensor& p : {a, b}) p.set_grad(Tensor::ones({3}).to(p.device()));
  Sgd sgd({a, b}, {.lr = 1});
  CHECK(error_text<DeviceError>([&] { sgd.step(); }) == "optimizer: tensors are on cpu and cuda:0, expected one device; move one with to()");
  CHECK(sgd.state().size() == 1);
  CHECK(values(a) == std::vector<double>{1, 1, 1});
}

#ifdef MICA_CUDA_EMULATED
TEST_CASE("an optimizer's step of which a launch failed is not counted: done again, it is the first", "[cuda]") {
  if (no_device()) return;
  const auto after_a_step = [](bool adam, int failing) {
    const Tensor p = noise({5}, 0, DType::f32).to(Device::cuda()).set_requires_grad();
    std::unique_ptr<Optimizer> optimizer;
    if (adam) optimizer = std::make_unique<Adam>(std::vector{p}, AdamOptions{.lr = 0.1});
    else optimizer = std::make_unique<Sgd>(std::vector{p}, SgdOptions{.lr = 0.1, .momentum = 0.9, .dampening = 0.5});
    p.set_grad(noise({5}, 1, DType::f32).to(Device::cuda()));
    if (failing > 0) {
      emulator::fail_launch(failing, cudaErrorLaunchOutOfResources);
      CHECK_THROWS_AS(optimizer->step(), CudaError);
      CHECK(optimizer->state().size() == 1);
    }
    optimizer->step();
    return p.detach().to(Device::cpu());
  };
  for (const bool adam : {true, false})
    for (int failing = 1; failing <= (adam ? 3 : 2); ++failing)  // zeros for each buffer, then the update
      CHECK(same_bits(after_a_step(adam, failing), after_a_step(adam, 0)));
}
#endif

TEST_CASE("weights are saved from CUDA and loaded onto it", "[cuda]") {
  if (no_device()) return;
  const ScratchFolder folder;
  const auto build = [] {
    Sequential net;
    net.add("conv", Conv2d(3, 4, 3));
    return net;
  };
  Sequential here = build(), there = build();
  const StateDict first = here.state_dict();
  there.to(Device::cuda());
  there.load_state_dict(first);
  save_safetensors(folder.path / "here", {here.state_dict(), {}});
  save_safetensors(folder.path / "there", {there.state_dict(), {}});
  const Safetensors a = load_safetensors(folder.path / "here"), b = load_safetensors(folder.path / "there");
  REQUIRE(a.tensors.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(there.state_dict()[i].second.device() == Device::cuda());
    CHECK(b.tensors[i].first == a.tensors[i].first);
    CHECK(same_bits(b.tensors[i].second, first[i].second.detach()));
  }
  Sequential other = build();
  other.load_state_dict(there.state_dict());
  CHECK(same_bits(other.state_dict()[0].second.detach(), first[0].second.detach()));
}
