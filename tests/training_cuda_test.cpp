// The training loop with network and data on a CUDA device.
#include "../examples/training/choices.h"
#include "../examples/training/trainer.h"
#include "compare.h"
#include "take_steps.h"
#include "no_device.h"
#include "scratch_folder.h"

#ifdef MICA_CUDA_EMULATED
#include "emulator/device.h"
#endif

#include <mica/core/error.h>
#include <mica/core/file.h>
#include <mica/core/memory.h>
#include <mica/core/random.h>
#include <mica/core/range.h>
#include <mica/core/settings.h>
#include <mica/data/drawn_digits.h>
#include <mica/optim/clip.h>

#include <chrono>
#include <map>
#include <optional>
#include <sstream>
#include <string_view>

using namespace mica;
using namespace mica::test;

namespace {

struct Trained {
  training::Result result;
  std::vector<double> losses;          // of every step, from the log
  std::vector<std::string> epochs;     // of every epoch: number, losses and accuracies
};

std::vector<std::string> rows(const std::filesystem::path& log) {
  std::istringstream file(read_file(log));
  std::vector<std::string> all;
  std::string line;
  for (std::getline(file, line); std::getline(file, line);) all.push_back(line);
  return all;
}

// gap-19k's, of a few images.
networks::Recipe recipe_of(std::int64_t epochs, std::int64_t batch_size, bool augmented = false) {
  networks::Recipe recipe = networks::find("gap-19k").recipe;
  recipe.epochs = epochs, recipe.batch_size = batch_size;
  if (!augmented) recipe.augmentation = {};
  return recipe;
}

Trained train(Device device, const networks::Recipe& recipe, const training::Settings& settings, std::optional<std::chrono::milliseconds> progress_every = {}) {
  const ScratchFolder folder;
  const networks::Network& entry = networks::find("gap-19k");
  manual_seed(3);
  Sequential network = entry.build();
  network.to(settings.dtype);
  network.to(device);
  training::Progress progress(!progress_every, progress_every);
  training::Logs logs(folder.path / "epochs", folder.path / "steps");
  const ImageSet train_set = draw_digits(11, "train").to(device), test_set = draw_digits(6, "test").to(device);
  Trained trained;
  trained.result = training::train(network, recipe, settings, train_set, test_set, progress, logs, false);
  for (const std::string& row : rows(folder.path / "steps")) trained.losses.push_back(std::stod(row.substr(row.find(',') + 1)));
  if (trained.result.epochs == 0) return trained;
  for (std::string& row : rows(folder.path / "epochs")) {
    std::size_t comma = 0;
    for (int field = 0; field < 5; ++field) comma = row.find(',', comma + 1);
    trained.epochs.push_back(row.substr(0, comma));  // without the best so far, rate and times
  }
  return trained;
}

}  // namespace

TEST_CASE("two epochs of gap-19k on CUDA equal the CPU's, shuffled, augmented, with dropout", "[cuda][training]") {
  if (no_device()) return;
  const training::Settings settings{.dtype = DType::f64, .max_steps = {}};
  const networks::Recipe recipe = recipe_of(2, 4, true);
  const Trained here = train(Device::cpu(), recipe, settings), there = train(Device::cuda(), recipe, settings);
  REQUIRE(here.losses.size() == 6);
  REQUIRE(there.losses.size() == 6);
  for (std::size_t k = 0; k < 6; ++k) CHECK(there.losses[k] == Approx(here.losses[k]).epsilon(1e-10));
  CHECK(there.result.last_accuracy == here.result.last_accuracy);
  REQUIRE(here.epochs.size() == 2);
  CHECK(there.epochs == here.epochs);
}

TEST_CASE("training by captured steps logs what eager training does, to the bit", "[cuda][training]") {
  if (no_device()) return;
  training::Settings settings{.max_steps = {}};
  const networks::Recipe recipe = recipe_of(2, 4, true);
  const Trained eager = train(Device::cuda(), recipe, settings);
  REQUIRE(eager.losses.size() == 6);
  settings.steps_per_graph = 2;  // a graph, and one step beside it, in each epoch
  const Trained graph = train(Device::cuda(), recipe, settings);
  CHECK(graph.losses == eager.losses);
  CHECK(graph.epochs == eager.epochs);
  settings.max_steps = 3;
  CHECK(train(Device::cuda(), recipe, settings).losses == std::vector<double>(eager.losses.begin(), eager.losses.begin() + 3));
}

TEST_CASE("training that stops between two reads logs every step", "[cuda][training]") {
  if (no_device()) return;
  const Trained there = train(Device::cuda(), recipe_of(9, 4), {.max_steps = 4});
  CHECK(there.result.outcome == training::Outcome::stopped_at_max_steps);
  CHECK(there.losses.size() == 4);
}

TEST_CASE("a step on CUDA waits for nothing", "[cuda][training]") {
  if (no_device()) return;
  const ImageSet set = draw_digits(8, "train").to(Device::cuda());
  const networks::Network& entry = networks::find("gap-19k");
  Sequential network = entry.build();
  network.to(Device::cuda());
  const auto optimizer = training::make_optimizer(entry.recipe.optimizer, network.parameters());
  BatchLoader loader(set, {.batch_size = 4, .augmentation = entry.recipe.augmentation});
  const Tensor classes = Tensor::from<std::int64_t>({7}, {1}).to(Device::cuda());
  // From here on, whoever waits for the device first throws.
  require_in_range(classes, 5, {}, [](std::int64_t, std::int64_t) { return "somebody waited"; });
  for (const std::uint32_t epoch : {1, 2}) {
    loader.start(epoch);
    for (Batch batch; loader.next(batch);) {
      optimizer->zero_grad();
      const Tensor y = network(batch.images), loss = nll_loss(y, batch.labels);
      loss.backward();
      clip_grad_norm_(network.parameters(), 1);
      optimizer->step();
      count_correct(y, batch.labels);
    }
  }
  CHECK(error_text<Error>([] { synchronize(Device::cuda()); }) == "somebody waited");
}

// Whichever kernels do them, of which kind, in which groups, launched one by one or as a graph.
TEST_CASE("gap-19k: ten f64 steps agree to 1e-10 in every way to do them, and to the bit where the kernels are the same", "[cuda][training]") {
  if (no_device()) return;
  struct Case {
    const char* name;
    Device device;
    const char* policy;
    bool fused, graph;
    const char* same_bits_as;  // of a case before
    double dropout = 0.3;
  };
  const Device cpu = Device::cpu(), cuda = Device::cuda();
  std::vector<Case> cases{{"CPU", cpu, "native", true, false, ""},
                          {"CPU, layer by layer", cpu, "native", false, false, ""},
                          {"native", cuda, "native", true, false, ""},
                          {"native, layer by layer", cuda, "native", false, false, ""},
                          {"native, as a graph", cuda, "native", true, true, "native"}};
  // cuDNN's dropout draws other masks: our own does it here, and a second comparison drops nothing.
  if (why_no_cudnn().empty() && why_no_cublas().empty()) {
    cases.push_back({"library", cuda, "library,dropout=native", true, false, ""});
    cases.push_back({"library, as a graph", cuda, "library,dropout=native", true, true, "library"});
    cases.push_back({"CPU without dropout", cpu, "native", true, false, "", 0});
    cases.push_back({"library without dropout, layer by layer as a graph", cuda, "library", false, true, "", 0});
  }
  std::map<std::string, std::pair<double, StepsTaken>> done;  // dropout and outcome
  for (const Case& c : cases) {
    INFO(c.name);
    manual_seed(7);
    set_policy(c.policy);
    std::optional<NoFusion> no_fusion;
    if (!c.fused) no_fusion.emplace();
#ifdef MICA_CUDA_EMULATED
    const int before = emulator::submitted("cudnn");
#endif
    StepsTaken now = take_steps({.dropout = c.dropout, .device = c.device, .images_a_step = 2, .graph = c.graph});
    set_policy(Policy::automatic);
#ifdef MICA_CUDA_EMULATED
    CHECK((emulator::submitted("cudnn") > before + 10) == std::string_view(c.policy).starts_with("library"));
#endif
    const StateDict state = now.network.state_dict();
    for (auto& [name, other] : done) {
      INFO("beside " << name);
      if (other.first != c.dropout) continue;
      const bool same = name == c.same_bits_as;
      const StateDict others = other.second.network.state_dict();
      REQUIRE(others.size() == state.size());
      if (same) CHECK(now.losses == other.second.losses);
      for (std::size_t i = 0; i < 10; ++i) CHECK(std::abs(now.losses[i] - other.second.losses[i]) <= 1e-10 * other.second.losses[i]);
      for (std::size_t i = 0; i < state.size(); ++i) {
        INFO(state[i].first);
        if (same) CHECK(same_bits(state[i].second.detach(), others[i].second.detach()));
        CHECK(difference(state[i].second.detach(), others[i].second.detach()) < 1e-10);
      }
    }
    done.emplace(c.name, std::pair(c.dropout, std::move(now)));
  }
}

// In f32, where our own convolutions run as chains.
TEST_CASE("gap-19k: f32 steps as a graph have the bits of eager ones, by our own kernels and by libraries", "[cuda][training]") {
  if (no_device()) return;
  for (const char* policy : {"native", "library"}) {
    INFO(policy);
    set_policy(policy);
    const auto steps = [](bool graph) {
      manual_seed(7);
      return take_steps({.dtype = DType::f32, .dropout = 0.3, .device = Device::cuda(), .images_a_step = 1, .steps = 3, .graph = graph});
    };
#ifdef MICA_CUDA_EMULATED
    const int before = emulator::submitted("conv2d_pack_filters");
#endif
    StepsTaken eager = steps(false), graph = steps(true);
    set_policy(Policy::automatic);
#ifdef MICA_CUDA_EMULATED
    CHECK((emulator::submitted("conv2d_pack_filters") > before) == (std::string_view(policy) == "native" || !why_no_cudnn().empty()));
#endif
    CHECK(graph.losses == eager.losses);
    const StateDict state = graph.network.state_dict(), expected = eager.network.state_dict();
    for (std::size_t i = 0; i < expected.size(); ++i) CHECK(same_bits(state[i].second.detach(), expected[i].second.detach()));
  }
}

#ifdef MICA_CUDA_EMULATED
TEST_CASE("an epoch of captured steps reads nothing before its end, however many they are", "[cuda][training]") {
  const auto reads = [](std::int64_t batch_size) {
    const training::Settings settings{.max_steps = {}, .steps_per_graph = 1};
    const int before = emulator::submitted(emulator::reading);
    train(Device::cuda(), recipe_of(1, batch_size), settings, std::chrono::milliseconds(0));  // whose progress is always due
    return emulator::submitted(emulator::reading) - before;
  };
  CHECK(reads(2) == reads(5));
}
#endif
