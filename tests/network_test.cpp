// gap-19k as a whole: ten training steps against PyTorch, and the same bits from the same seed.
#include "catch.h"
#include "compare.h"
#include "gap_19k.h"
#include "project_file.h"

#include <mica/core/allocator.h>
#include <mica/core/context.h>
#include <mica/core/memory.h>
#include <mica/core/random.h>
#include <mica/core/safetensors.h>
#include <mica/layers/profile.h>

#include <malloc.h>

#include <fstream>
#include <map>

using namespace mica;
using namespace mica::test;

namespace {

// The tensors whose keys begin with prefix, without it.
StateDict part(const Safetensors& file, const std::string& prefix) {
  StateDict state;
  for (const auto& [key, tensor] : file.tensors)
    if (key.rfind(prefix, 0) == 0) state.emplace_back(key.substr(prefix.size()), tensor);
  return state;
}

}  // namespace

TEST_CASE("gap-19k: ten f64 steps equal PyTorch's losses and weights") {
  const Safetensors file = load_safetensors(project_file("tests/pytorch/gap_19k.safetensors"));
  const StateDict start = part(file, "start.");
  const std::vector<double> losses = part(file, "losses")[0].second.to_vector<double>();
  StepsTaken t = take_steps({}, &start);
  for (std::size_t i = 0; i < 10; ++i) CHECK(std::abs(t.losses[i] - losses[i]) <= 1e-8 * losses[i]);
  const StateDict end = part(file, "end.");
  std::map<std::string, Tensor> expected(end.begin(), end.end());
  REQUIRE(t.network.state_dict().size() == expected.size());
  for (const auto& [key, tensor] : t.network.state_dict()) {
    INFO(key);
    CHECK(difference(tensor.detach(), expected.at(key)) < 1e-8);
    if (key.find("weight") != std::string::npos) CHECK(difference(tensor.detach(), std::map(start.begin(), start.end()).at(key)) > 1e-4);
  }
}

TEST_CASE("gap-19k: the first two f32 losses equal PyTorch's f64 ones") {
  const Safetensors file = load_safetensors(project_file("tests/pytorch/gap_19k.safetensors"));
  const StateDict start = part(file, "start.");
  const std::vector<double> losses = part(file, "losses")[0].second.to_vector<double>();
  const StepsTaken t = take_steps({.dtype = DType::f32}, &start);
  for (std::size_t i = 0; i < 2; ++i) CHECK(std::abs(t.losses[i] - losses[i]) < 1e-5 * losses[i]);
}

TEST_CASE("gap-19k: the same seed gives the same bits, another seed others") {
  std::vector<StepsTaken> runs;
  for (const std::uint64_t seed : {5, 5, 6}) {
    manual_seed(seed);
    runs.push_back(take_steps({.dtype = DType::f32, .dropout = 0.1}));
  }
  CHECK(runs[0].losses == runs[1].losses);
  CHECK(runs[0].losses != runs[2].losses);
  const StateDict a = runs[0].network.state_dict(), b = runs[1].network.state_dict();
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(same_bits(a[i].second.detach(), b[i].second.detach()));
}

// The table of one image's work: 9.78 MFLOP forward, 9.59 and 9.78 for the gradients of data and weights.
TEST_CASE("gap-19k: a profile counts 29.16 MFLOP an image") {
  Sequential network = networks::find("gap-19k").build();
  Profile profile(network, {2, 1, 28, 28});
  profile.begin_step();
  const auto [images, labels] = batch(0, 2);
  nll_loss(network(images.to(DType::f32)), labels).backward();
  profile.end_step();
  std::vector<double> forward;
  double in_all = 0, backward = 0;
  for (const Profile::Row& row : profile.rows()) {
    if (row.forward.flops > 0) forward.push_back(row.forward.flops / 2);
    in_all += row.forward.flops / 2, backward += row.backward.flops / 2;
  }
  CHECK(forward == std::vector<double>{194'688, 2'654'208, 2'230'272, 3'686'400, 409'600, 294'912, 165'888, 147'456, 640});
  CHECK(in_all == 9'784'064);
  CHECK(backward == 2 * 9'784'064 - 194'688);
}

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("gap-19k: from the second step on, training asks the system for no memory, and needs less than 400 MB") {
  const networks::Network& entry = networks::find("gap-19k");
  Sequential network = entry.build();
  const auto optimizer = entry.recipe.optimizer(network.parameters(), entry.recipe.lr);
  const auto [wide_images, labels] = batch(0, 128);
  const Tensor images = wide_images.to(DType::f32), target = labels;
  const auto step = [&] {
    optimizer->zero_grad();
    nll_loss(network(images), target).backward();
    optimizer->step();
  };
  const auto from_system = [] {  // bytes of tensors, of the heap, and of blocks mapped one by one
    const struct mallinfo2 heap = mallinfo2();
    return std::vector<std::size_t>{host_memory_stats().reserved, heap.arena, heap.hblkhd};
  };
  const auto resident = [] {  // kB, now
    std::ifstream status("/proc/self/status");
    std::size_t kilobytes = 0;
    for (std::string word; status >> word;)
      if (word == "VmRSS:") status >> kilobytes;
    return kilobytes;
  };
  release_cached_memory(Device::cpu());  // of other tests, which may have loaded large libraries too
  const std::size_t before = resident();
  step();
  step();
  const std::vector<std::size_t> after_two = from_system();
  for (int i = 0; i < 20; ++i) step();
  CHECK(from_system() == after_two);
  CHECK(before > 0);
  CHECK(resident() < before + 400'000);
}
#endif
