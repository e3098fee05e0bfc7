// The training loop with network and data on a CUDA device.
#include "../examples/training/trainer.h"
#include "compare.h"
#include "gap_19k.h"
#include "no_device.h"
#include "scratch_folder.h"

#ifdef MICA_CUDA_EMULATED
#include "emulator/cudnn.h"
#endif

#include <mica/core/error.h>
#include <mica/core/file.h>
#include <mica/core/memory.h>
#include <mica/core/random.h>
#include <mica/core/range.h>
#include <mica/core/settings.h>
#include <mica/data/drawn_digits.h>
#include <mica/optim/clip.h>

#include <sstream>

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

Trained train(Device device, const training::Settings& settings) {
  const ScratchFolder folder;
  const networks::Network& entry = networks::find("gap-19k");
  manual_seed(3);
  Sequential network = entry.build();
  network.to(settings.dtype);
  network.to(device);
  training::Progress progress(true);
  training::Logs logs(folder.path / "epochs", folder.path / "steps");
  const ImageSet train_set = draw_digits(20, "train").to(device), test_set = draw_digits(6, "test").to(device);
  Trained trained;
  trained.result = training::train(network, entry.recipe, settings, train_set, test_set, progress, logs, false);
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
  const training::Settings settings{.epochs = 2, .batch_size = 8, .lr = 0.05, .augmentation = networks::find("gap-19k").recipe.augmentation,
                                    .dtype = DType::f64, .max_steps = {}};
  const Trained here = train(Device::cpu(), settings), there = train(Device::cuda(), settings);
  REQUIRE(here.losses.size() == 6);
  REQUIRE(there.losses.size() == 6);
  for (std::size_t k = 0; k < 6; ++k) CHECK(there.losses[k] == Approx(here.losses[k]).epsilon(1e-10));
  CHECK(there.result.last_accuracy == here.result.last_accuracy);
  REQUIRE(here.epochs.size() == 2);
  CHECK(there.epochs == here.epochs);
}

TEST_CASE("training by captured steps logs what eager training does, to the bit", "[cuda][training]") {
  if (no_device()) return;
  training::Settings settings{.epochs = 2, .batch_size = 8, .lr = 0.05, .augmentation = networks::find("gap-19k").recipe.augmentation,
                              .dtype = DType::f32, .max_steps = {}};
  const Trained eager = train(Device::cuda(), settings);
  REQUIRE(eager.losses.size() == 6);
  settings.steps_per_graph = 2;  // a graph, and one step beside it, in each epoch
  const Trained graph = train(Device::cuda(), settings);
  CHECK(graph.losses == eager.losses);
  CHECK(graph.epochs == eager.epochs);
  settings.max_steps = 3;
  CHECK(train(Device::cuda(), settings).losses == std::vector<double>(eager.losses.begin(), eager.losses.begin() + 3));
}

TEST_CASE("training that stops between two reads logs every step", "[cuda][training]") {
  if (no_device()) return;
  const training::Settings settings{.epochs = 9, .batch_size = 8, .lr = 0.05, .augmentation = {}, .dtype = DType::f32, .max_steps = 4};
  const Trained there = train(Device::cuda(), settings);
  CHECK(there.result.outcome == training::Outcome::stopped_at_max_steps);
  CHECK(there.losses.size() == 4);
}

TEST_CASE("a step on CUDA waits for nothing", "[cuda][training]") {
  if (no_device()) return;
  const ImageSet set = draw_digits(20, "train").to(Device::cuda());
  const networks::Network& entry = networks::find("gap-19k");
  Sequential network = entry.build();
  network.to(Device::cuda());
  const auto optimizer = entry.recipe.optimizer(network.parameters(), 0.1);
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

TEST_CASE("gap-19k: ten f64 steps on CUDA equal the CPU's, dropout's masks too", "[cuda][training]") {
  if (no_device()) return;
  for (const double dropout : {0.0, 0.3}) {
    manual_seed(7);
    TenSteps cpu = ten_steps(DType::f64, nullptr, dropout, Device::cpu(), 3);
    manual_seed(7);
    TenSteps cuda = ten_steps(DType::f64, nullptr, dropout, Device::cuda(), 3);
    for (std::size_t i = 0; i < 10; ++i) CHECK(std::abs(cuda.losses[i] - cpu.losses[i]) <= 1e-10 * cpu.losses[i]);
    const StateDict a = cpu.network.state_dict(), b = cuda.network.state_dict();
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      INFO(a[i].first);
      CHECK(difference(b[i].second.detach(), a[i].second.detach()) < 1e-10);
    }
  }
}

// cuDNN does convolution, batch norm, pooling and log_softmax, and ReLU and dropout follow as ops of their own.
TEST_CASE("gap-19k: ten f64 steps by cuDNN equal the CPU's", "[cuda][cudnn][training]") {
  if (no_device() || !why_no_cudnn().empty()) return;
  for (const auto& [choices, dropout] : {std::pair("library", 0.0), std::pair("library,dropout=native", 0.3)}) {
    manual_seed(7);
    TenSteps cpu = ten_steps(DType::f64, nullptr, dropout, Device::cpu(), 3);
    manual_seed(7);
    set_policy(choices);
#ifdef MICA_CUDA_EMULATED
    const auto calls = [] { return emulator::cudnn_calls("cudnnConvolutionBackwardFilter") + emulator::cudnn_calls("cudnnBatchNormalizationBackward"); };
    const long before = calls();
#endif
    TenSteps cuda = ten_steps(DType::f64, nullptr, dropout, Device::cuda(), 3);
    set_policy(Policy::automatic);
#ifdef MICA_CUDA_EMULATED
    CHECK(calls() >= before + 100);  // ten steps of several layers
#endif
    for (std::size_t i = 0; i < 10; ++i) CHECK(std::abs(cuda.losses[i] - cpu.losses[i]) <= 1e-10 * cpu.losses[i]);
    const StateDict a = cpu.network.state_dict(), b = cuda.network.state_dict();
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      INFO(a[i].first);
      CHECK(difference(b[i].second.detach(), a[i].second.detach()) < 1e-10);
    }
  }
}
