// Every fault of a training step: each call that it makes of the device fails, once and ever after, and what follows is checked.
#ifdef MICA_CUDA_EMULATED  // hardware does not fail when asked to
#include "faults.h"
#include "no_device.h"

#include <mica/core/file.h>
#include <mica/kernels/cuda/check.h>

#include <cstdlib>
#include <sstream>

using namespace mica;
using namespace mica::test;

TEST_CASE("every call of a training step fails, once and ever after, and the next step works", "[cuda][faults]") {
  if (no_device()) return;
  Training training(false);
  check_every_fault(training);
}

TEST_CASE("every call of a captured training step fails, once and ever after, and the next step works", "[cuda][faults]") {
  if (no_device()) return;
  Training training(true);
  check_every_fault(training);
}

TEST_CASE("every call of a step of a chained convolution fails, eager and captured, and the next step works", "[cuda][faults]") {
  if (no_device()) return;
  const Call chained[] = {Call::allocation, Call::launch};
  for (const bool captured : {false, true}) {
    const int before = emulator::submitted("conv2d_pack_filters");
    Training training(captured, chain_model);
    CHECK(emulator::submitted("conv2d_pack_filters") > before);
    training.clipped = false;  // that of the small network is
    check_every_fault(training, chained, Ways::in_turn);
  }
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

TEST_CASE("a value out of range is told once the device's note of it could be cleared", "[cuda][faults]") {
  if (no_device()) return;
  const Tensor x = Tensor::zeros({2, 3}, DType::f32, Device::cuda());
  const auto loss = [&](std::int64_t target) { return nll_loss(x, Tensor::from<std::int64_t>({0, target}, {2}).to(Device::cuda())); };
  loss(1), loss(7);
  const auto wait = [] { return outcome_of([] { synchronize(Device::cuda()); }); };
  emulator::fail(Call::copy, 2, cudaErrorUnknown);  // the first reads the note
  const Outcome clearing = wait();
  CHECK(clearing.said == Said::cuda_error);
  CHECK(clearing.text.starts_with("clearing device memory failed: cudaErrorUnknown, "));
  CHECK(wait().text == "nll_loss: target[1] is 7, expected a class from 0 to 2 or ignore_index -100");
  CHECK(loss(1).item<float>() == 0);
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
  const Outcome first = outcome_of([&] { training->step(), synchronize(Device::cuda()); });  // the watch works on after the loss was read
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
#endif
