// Every fault of a training step: each call that it makes of the device fails, once and ever after, and what follows is checked.
#ifdef MICA_CUDA_EMULATED  // hardware does not fail when asked to
#include "compare.h"
#include "no_device.h"

#include <emulator/device.h>

#include <mica/core/autograd.h>
#include <mica/core/context.h>
#include <mica/core/cuda/memory_checker.h>
#include <mica/core/cuda_graph.h>
#include <mica/core/error.h>
#include <mica/core/file.h>
#include <mica/core/memory.h>
#include <mica/core/ops.h>
#include <mica/core/ops/loss.h>
#include <mica/core/random.h>
#include <mica/layers/layers.h>
#include <mica/layers/sequential.h>
#include <mica/optim/adam.h>
#include <mica/core/settings.h>
#include <mica/kernels/cuda/check.h>
#include <mica/optim/clip.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <sstream>

using namespace mica;
using namespace mica::test;
using emulator::Call;

namespace {

constexpr Call kinds[] = {Call::allocation, Call::launch, Call::copy, Call::wait, Call::graph};

// What is not an error of memory, and leaves the device usable.
cudaError_t passing_error(Call kind) { return kind == Call::launch ? cudaErrorLaunchOutOfResources : cudaErrorUnknown; }

struct Training {
  explicit Training(bool by_graph) : captured(by_graph) {
    manual_seed(5);
    network.add("conv", Conv2d(1, 2, 3)), network.add("norm", BatchNorm2d(2)), network.add("relu", ReLU()), network.add("dropout", Dropout(0.2));
    network.add("pool", MaxPool2d(2)), network.add("flatten", Flatten()), network.add("fc", Linear(8, 3)), network.add("log_softmax", LogSoftmax());
    network.to(Device::cuda());
    optimizer = std::make_unique<Adam>(network.parameters(), AdamOptions{.lr = 0.01});
    host_images = Tensor::empty({2, 1, 6, 6});
    uniform_(host_images, -1, 1, random_key("images", 1));
    images = host_images.to(Device::cuda());
    labels = Tensor::from<std::int64_t>({0, 2}, {2}).to(Device::cuda());
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
int calls_of_a_step(Training& training, Call kind) {
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
Outcome outcome_of(const std::function<void()>& f) {
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

bool sensible(double loss) { return loss > 0 && loss < 20; }

struct Injected {
  Call kind;
  int nth;
  cudaError_t error;
  bool ever_after;
};

void check_fault(Training& training, const Injected& f) {
  const Device device = Device::cuda();
  training.forget();
  release_cached_memory(device);
  const std::size_t before = memory_stats(device).current;
  const auto weights = training.weights();
  release_cached_memory(device);
  emulator::fail(f.kind, f.nth, f.error, f.ever_after);
  const Outcome outcome = outcome_of([&] { training.step(); });
  emulator::fail_nothing();
  INFO(outcome.text);
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
  training.clipped = f.ever_after && !training.captured;  // most of a step's time here is clipping's
  CHECK(sensible(training.step()));
  training.clipped = true;
}

void check_every_fault(bool captured, std::span<const Call> of = kinds) {
  Training training(captured);
  for (const Call kind : of) {
    const int count = calls_of_a_step(training, kind);
    CHECK((count > 0) == (kind != Call::graph || captured));
    std::vector<cudaError_t> errors{passing_error(kind)};
    if (kind == Call::allocation) errors.push_back(cudaErrorMemoryAllocation);
    for (int nth = 1; nth <= count; ++nth)
      for (const cudaError_t error : errors)
        for (const bool ever_after : {false, true}) {
          INFO((captured ? "captured: " : "eager: ") << emulator::name_of(kind) << " " << nth << " of " << count << ", " << cudaGetErrorName(error)
                                                     << (ever_after ? " ever after" : " once"));
          check_fault(training, {kind, nth, error, ever_after});
        }
  }
}

}  // namespace

TEST_CASE("every call of a training step fails, once and ever after, and the next step works", "[cuda][faults]") {
  if (no_device()) return;
  check_every_fault(false);
}

TEST_CASE("every call of a captured training step fails, once and ever after, and the next step works", "[cuda][faults]") {
  if (no_device()) return;
  check_every_fault(true);
}

// The emulator ends the program where the host writes to a buffer that a queued copy reads.
TEST_CASE("an upload whose event could not be recorded keeps its staging buffer until the copy is done", "[cuda][faults]") {
  if (no_device()) return;
  const Tensor here = Tensor::full({500}, 3);
  Tensor there = Tensor::zeros({500}, DType::f32, Device::cuda());
  synchronize(Device::cuda());
  for (int i = 0; i < 9; ++i) there.copy_(here);  // all buffers exist, and one was waited for
  emulator::fail(Call::wait, 2, cudaErrorUnknown);  // the first waits for the buffer
  CHECK(outcome_of([&] { there.copy_(here); }).said == Said::cuda_error);
  for (int i = 0; i < 9; ++i) there.copy_(here);
  emulator::fail_nothing();
  CHECK(values(there)[499] == 3);
}

namespace {

// What f throws in a process of its own, where it may break the device.
Outcome elsewhere(const std::function<void()>& f) {
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

}  // namespace

TEST_CASE("where no more pinned memory is to be had, copies go on with the buffers that there are", "[cuda][faults]") {
  if (no_device()) return;
  const Tensor here = Tensor::full({500}, 3), old = Tensor::zeros({500}, DType::f32, Device::cuda());
  const Outcome outcome = elsewhere([&] {  // where most of these buffers do not exist yet
    Tensor there = old;
    there.copy_(here);
    emulator::fail(Call::allocation, 1, cudaErrorMemoryAllocation, true);
    for (int i = 0; i < 9; ++i) there.copy_(here);
    if (there.to_vector<float>()[499] != 3) throw Error("another value");
  });
  CHECK(outcome.text == "");
  CHECK(outcome.said == Said::nothing);
}

TEST_CASE("a device that a library finds lost is lost, and its last kernel was the library's", "[cuda][faults]") {
  if (no_device() || !why_no_cublas().empty() || !why_no_cudnn().empty()) return;
  const Tensor x = Tensor::ones({4, 4}, DType::f32, Device::cuda());
  for (const auto& [op, kernel] : {std::pair<std::function<Tensor()>, std::string>([&] { return softmax(x, 1); }, "cudnnSoftmaxForward"),
                                   {[&] { return matmul(x, x); }, "cublasLtMatmul"}}) {
    const Outcome outcome = elsewhere([&] {
      set_policy(Policy::library);
      op();
      emulator::fail(Call::library, 1, cudaErrorIllegalAddress);
      op();
    });
    INFO(outcome.text);
    CHECK(outcome.said == Said::device_lost);
    CHECK(outcome.text.find("failed: cudaErrorIllegalAddress") != std::string::npos);
    if (!MemoryChecker::wanted())  // which starts kernels between
      CHECK(outcome.text.find("the last kernel started before was " + kernel) != std::string::npos);
  }
}

// ---- a lost device: in a process of its own ----

namespace {

int calls_at_loss = -1;
Tensor survivor;  // destroyed after the device was closed

// Runs after everything else that runs at the end but the emulator's own report.
void end_of_program() {
  if (calls_at_loss >= 0 && emulator::count_all() != calls_at_loss) {
    std::fprintf(stderr, "%d calls of CUDA after it was lost\n", emulator::count_all() - calls_at_loss);
    std::fflush(nullptr);
    _exit(3);
  }
}
__attribute__((constructor(102))) void register_end() { std::atexit(end_of_program); }

void expect(bool condition, const char* what, const std::string& text = {}) {
  if (condition) return;
  std::fprintf(stderr, "%s: %s\n", what, text.c_str());
  std::fflush(nullptr);
  _exit(1);
}

// Loses the device, and then does all sorts of things with what is left.
[[noreturn]] void lose_device(std::unique_ptr<Training> training, const Injected& f) {
  set_num_threads(1);  // the parent's threads are not here
  survivor = Tensor::ones({3}, DType::f32, Device::cuda());
  emulator::fail(f.kind, f.nth, f.error, f.ever_after);
  const Outcome first = outcome_of([&] { training->step(); });
  expect(first.said == Said::device_lost, "not DeviceLost", first.text);
  expect(first.text.find("the CUDA device is lost for this process: ") != std::string::npos, "no text", first.text);
  expect(first.text.find(std::string(" failed: ") + cudaGetErrorName(f.error)) != std::string::npos, "no name", first.text);
  expect(first.text.find("the last kernel started before was ") != std::string::npos, "no kernel", first.text);
  calls_at_loss = emulator::count_all();
  const Device device = Device::cuda();
  const std::function<void()> attempts[] = {
      [&] { training->step(); }, [&] { synchronize(device); }, [&] { release_cached_memory(device); }, [&] { values(survivor); },
      [&] { training->weights(); }, [&] { Tensor::zeros({2}, DType::f32, device); }, [&] { survivor.copy_(Tensor::ones({3})); },
      [&] { CudaGraph().capture([&](int) { survivor.fill_(1); }); }, [&] { survivor.fill_(2); }};
  for (const auto& attempt : attempts) {
    const Outcome later = outcome_of(attempt);
    expect(later.said == Said::device_lost, "later not DeviceLost", later.text);
    expect(later.text.substr(later.text.find("the CUDA")) == first.text.substr(first.text.find("the CUDA")), "another cause", later.text);
  }
  training.reset();
  expect(memory_stats(device).current > 0, "no statistics");
  expect(emulator::count_all() == calls_at_loss, "CUDA was called");
  std::exit(0);
}

// What the child said, and nothing where all was well.
std::string lose_device_elsewhere(std::unique_ptr<Training>& training, const Injected& f) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  std::fflush(nullptr);
  const pid_t process = fork();
  if (process == 0) {
    dup2(ends[1], STDERR_FILENO), dup2(ends[1], STDOUT_FILENO);
    lose_device(std::move(training), f);
  }
  close(ends[1]);
  std::string said;
  char chunk[4096];
  for (ssize_t n; (n = read(ends[0], chunk, sizeof chunk)) > 0;) said.append(chunk, static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(process, &status, 0);
  if (status != 0) said += "status " + std::to_string(status);
  return said;
}

}  // namespace

TEST_CASE("a lost device is lost from every call of a step on, and nothing calls it", "[cuda][faults]") {
  if (no_device()) return;
  for (const bool captured : {false, true}) {
    auto training = std::make_unique<Training>(captured);
    training->clipped = !captured;
    for (const Call kind : kinds) {
      const int count = calls_of_a_step(*training, kind);
      for (int nth = 1; nth <= count; ++nth) {
        training->forget();
        release_cached_memory(Device::cuda());
        INFO((captured ? "captured: " : "eager: ") << emulator::name_of(kind) << " " << nth << " of " << count);
        CHECK(lose_device_elsewhere(training, {kind, nth, cudaErrorIllegalAddress, false}) == "");
      }
    }
  }
}

TEST_CASE("the errors that lose a device are those of which CUDA's header says so", "[cuda][faults]") {
  std::string header;  // in one line, without the comments' stars
  std::istringstream words(read_file(MICA_CUDA_HEADERS "/driver_types.h"));
  for (std::string word; words >> word;)
    if (word != "*") header += word + " ";
  const std::string sentence = "terminated and relaunched. */ ";
  int said = 0, ours = 0;
  for (std::size_t at = header.find(sentence); at != std::string::npos; at = header.find(sentence, at + 1)) {
    INFO(header.substr(at, 80));
    const std::string entry = header.substr(at + sentence.size());
    CHECK(entry.starts_with("cudaError"));
    CHECK(kernels::loses_device(static_cast<cudaError_t>(std::stoi(entry.substr(entry.find('=') + 1)))));
    ++said;
  }
  for (int code = 0; code < 1000; ++code) ours += kernels::loses_device(static_cast<cudaError_t>(code));
  CHECK(said >= 10);  // what CUDA 12.0 has
  CHECK(said <= ours);
  if (CUDART_VERSION >= 13000) CHECK(said == ours);
}

TEST_CASE("each of the errors after which CUDA wants a new process loses the device", "[cuda][faults]") {
  if (no_device()) return;
  auto training = std::make_unique<Training>(false);
  for (const int code : {226, 700, 702, 710, 714, 715, 716, 717, 718, 719, 721, 810, 911})
    for (const Call kind : {Call::launch, Call::wait}) {
      INFO(code << " " << emulator::name_of(kind));
      training->forget();
      CHECK(lose_device_elsewhere(training, {kind, 2, static_cast<cudaError_t>(code), false}) == "");
    }
}

// The last one: processes that lose a device, above, would take over its handles, which nothing destroys then, and leak them.
TEST_CASE("every call of a training step by cuBLAS and cuDNN fails, once and ever after, and the next step works", "[cuda][faults]") {
  if (no_device() || !why_no_cublas().empty() || !why_no_cudnn().empty()) return;
  set_policy(Policy::library);
  const Call kinds_of_libraries[] = {Call::library, Call::launch};
  check_every_fault(false, kinds_of_libraries);
  set_policy(Policy::automatic);
}
#endif
