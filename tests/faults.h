// A training step whose calls of the device fail: each one in turn, and what must hold afterwards.
#pragma once

#include "catch.h"
#include "compare.h"
#include "scratch_folder.h"

#include <emulator/device.h>

#include <mica/core/autograd.h>
#include <mica/core/context.h>
#include <mica/core/cuda/memory_checker.h>
#include <mica/core/cuda_graph.h>
#include <mica/core/error.h>
#include <mica/core/memory.h>
#include <mica/core/ops/loss.h>
#include <mica/core/random.h>
#include <mica/core/safetensors.h>
#include <mica/layers/layers.h>
#include <mica/layers/sequential.h>
#include <mica/optim/adam.h>
#include <mica/optim/clip.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace mica::test {

using emulator::Call;

inline constexpr Call kinds[] = {Call::allocation, Call::launch, Call::copy, Call::wait, Call::graph};

// What is not an error of memory, and leaves the device usable.
inline cudaError_t passing_error(Call kind) { return kind == Call::launch ? cudaErrorLaunchOutOfResources : cudaErrorUnknown; }

struct Model {
  Sequential network;
  Shape images;
};

inline Model small_model() {
  Sequential net;
  net.add("conv", Conv2d(2, 2, 3)).add("norm", BatchNorm2d(2)).add("relu", ReLU()).add("dropout", Dropout(0.2));
  net.add("pool", MaxPool2d(2)).add("flatten", Flatten()).add("fc", Linear(8, 3)).add("log_softmax", LogSoftmax());
  return {std::move(net), {2, 2, 6, 6}};
}

// A convolution by tensor cores that runs as a chain with what is before and behind it.
inline Model chain_model() {
  Sequential net;
  net.add("norm0", BatchNorm2d(16)).add("relu0", ReLU()).add("dropout0", Dropout(0.2));
  net.add("conv1", Conv2d(16, 16, 3)).add("norm1", BatchNorm2d(16)).add("relu1", ReLU());
  net.add("gap", GlobalAvgPool()).add("flatten", Flatten()).add("log_softmax", LogSoftmax());
  return {std::move(net), {1, 16, 4, 4}};
}

struct Training {
  explicit Training(bool by_graph, Model (*model)() = small_model) : captured(by_graph) {
    manual_seed(5);
    Model made = model();
    network = std::move(made.network);
    network.to(Device::cuda());
    optimizer = std::make_unique<Adam>(network.parameters(), AdamOptions{.lr = 0.01});
    host_images = Tensor::empty(made.images);
    uniform_(host_images, -1, 1, random_key("images", 1));
    images = host_images.to(Device::cuda());
    labels = Tensor::full({made.images[0]}, 2, DType::i64, Device::cuda());
    step();
  }

  // With a new batch, and the loss read.
  double step() {
    updating = false;
    images.copy_(host_images);
    std::optional<CudaGraph> graph;
    if (captured) graph.emplace().capture([&](int) { update(); }), graph->replay();
    else update();
    return loss.item<float>();
  }

  void forget() { loss = Tensor(), optimizer->zero_grad(); }

  std::vector<std::vector<double>> weights() {
    std::vector<std::vector<double>> all;
    for (const Tensor& tensor : network.parameters()) all.push_back(values(tensor));
    return all;
  }

  bool captured, clipped = true, updating = false;
  Sequential network;
  std::unique_ptr<Adam> optimizer;
  Tensor host_images, images, labels, loss;
  ScratchFolder folder;

 private:
  void update() {
    optimizer->zero_grad();
    loss = nll_loss(network(images), labels);
    loss.backward();
    if (clipped) clip_grad_norm_(network.parameters(), 0.5);
    updating = true;
    optimizer->step();
  }
};

// How many calls of this kind a step makes that finds no cached memory.
inline int calls_of_a_step(Training& training, Call kind) {
  training.forget();
  release_cached_memory(Device::cuda());
  const int before = emulator::count(kind);
  training.step();
  return emulator::count(kind) - before;
}

// What a step says: the kind of its error, or that there was none.
enum class Said { nothing, out_of_memory, cuda_error, device_lost, other };
struct Outcome {
  Said said;
  std::string text;
};
inline Outcome outcome_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const OutOfMemory& error) {
    return {Said::out_of_memory, error.what()};
  } catch (const CudaError& error) {
    return {Said::cuda_error, error.what()};
  } catch (const DeviceLost& error) {
    return {Said::device_lost, error.what()};
  } catch (const std::exception& error) {
    return {Said::other, error.what()};
  }
  return {Said::nothing, {}};
}

inline bool sensible(double loss) { return loss > 0 && loss < 20; }

struct Injected {
  Call kind;
  int nth;
  cudaError_t error;
  bool ever_after;
};

inline void check_fault(Training& training, const Injected& f) {
  const Device device = Device::cuda();
  training.forget();
  release_cached_memory(device);
  const std::size_t before = memory_stats(device).current;
  const auto weights = training.weights();
  release_cached_memory(device);
  emulator::fail(f.kind, f.nth, f.error, f.ever_after);
  const Outcome outcome = outcome_of([&] { training.step(); });
  INFO(outcome.text);
  if (outcome.said == Said::out_of_memory && !MemoryChecker::wanted())  // whose look at all buffers takes memory
    CHECK_NOTHROW(save_safetensors(training.folder.path / "weights.safetensors", {training.network.state_dict(), {}}));
  emulator::fail_nothing();
  if (f.error == cudaErrorMemoryAllocation && !f.ever_after) {
    // The cache was given back and the request tried again; while a step is recorded nothing can be given back.
    CHECK((outcome.said == Said::nothing || (outcome.said == Said::out_of_memory && training.captured)));
  } else if (outcome.said != Said::nothing || !MemoryChecker::wanted()) {  // what the watch does to memory given back may fail unheard
    CHECK(outcome.said == (f.error == cudaErrorMemoryAllocation ? Said::out_of_memory : Said::cuda_error));
  }
  if (outcome.said == Said::cuda_error) {
    // A library says it in its own words, and cuBLAS does not name CUDA's error.
    CHECK(outcome.text.find(" failed: ") != std::string::npos);
    const bool cublas = outcome.text.find("CUBLAS_STATUS_EXECUTION_FAILED") != std::string::npos;
    CHECK((f.kind == Call::library || cublas || outcome.text.find(std::string(cudaGetErrorName(f.error))) != std::string::npos));
    CHECK(outcome.text.find("a CUDA call") == std::string::npos);  // it has a name
  }
  training.forget();
  CHECK(memory_stats(device).current == before);
  if (outcome.said != Said::nothing && !training.updating) CHECK(training.weights() == weights);
  const bool clipped = training.clipped;
  training.clipped = clipped && f.ever_after && !training.captured;  // most of a step's time here is clipping's
  CHECK(sensible(training.step()));
  training.clipped = clipped;
}

// In turn: each call fails in one of the ways, and of a captured step only the later half of them, as it is recorded.
enum class Ways { all, in_turn };

inline void check_every_fault(Training& training, std::span<const Call> of = kinds, Ways ways = Ways::all) {
  const bool captured = training.captured;
  for (const Call kind : of) {
    const int count = calls_of_a_step(training, kind);
    CHECK((count > 0) == (kind != Call::graph || captured));
    std::vector<cudaError_t> errors{passing_error(kind)};
    if (kind == Call::allocation || kind == Call::library) errors.push_back(cudaErrorMemoryAllocation);
    const bool only_recorded = kind == Call::library || ways == Ways::in_turn;
    const int first = captured && only_recorded ? count / 2 + 1 : 1;  // before a step is recorded it is done as it is
    int way = 0;
    const int ways_of_a_call = static_cast<int>(errors.size()) * 2;
    for (int nth = first; nth <= count; ++nth)
      for (const cudaError_t error : errors)
        for (const bool ever_after : {false, true}) {
          if (ways == Ways::in_turn && way++ % ways_of_a_call != nth % ways_of_a_call) continue;
          INFO((captured ? "captured: " : "eager: ") << emulator::name_of(kind) << " " << nth << " of " << count << ", " << cudaGetErrorName(error)
                                                     << (ever_after ? " ever after" : " once"));
          check_fault(training, {kind, nth, error, ever_after});
        }
  }
}

// What f throws in a process of its own, where it may break the device.
inline Outcome elsewhere(const std::function<void()>& f) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  std::fflush(nullptr);
  const pid_t process = fork();
  if (process == 0) {
    set_num_threads(1);  // the parent's threads are not here
    const Outcome outcome = outcome_of(f);
    const auto said = static_cast<char>(outcome.said);
    const bool written = write(ends[1], &said, 1) == 1 && write(ends[1], outcome.text.data(), outcome.text.size()) >= 0;
    _exit(written ? 0 : 1);
  }
  close(ends[1]);
  Outcome outcome{Said::other, "the process wrote nothing"};
  char chunk[4096];
  std::string all;
  for (ssize_t n; (n = read(ends[0], chunk, sizeof chunk)) > 0;) all.append(chunk, static_cast<std::size_t>(n));
  close(ends[0]);
  waitpid(process, nullptr, 0);
  if (!all.empty()) outcome = {static_cast<Said>(all[0]), all.substr(1)};
  return outcome;
}

}  // namespace mica::test
