// The same where cuBLAS and cuDNN do the work, as far as they can.
#ifdef MICA_CUDA_EMULATED
#include "faults.h"
#include "no_device.h"

#include <mica/core/ops.h>
#include <mica/core/settings.h>

using namespace mica;
using namespace mica::test;

namespace {

bool no_libraries() { return no_device() || !why_no_cublas().empty() || !why_no_cudnn().empty(); }

struct ByLibrary {
  ByLibrary() { set_policy(Policy::library); }
  ~ByLibrary() { set_policy(Policy::automatic); }
};

// What is kept for later, and how often that was asked for.
struct Keeping final : kernels::DeviceMemory {
  bool keeps = false;
  int released = 0;

  void* allocate(std::size_t bytes) override {
    void* p = nullptr;
    kernels::check(cudaMalloc(&p, bytes));
    return p;
  }
  void free(void* p, std::size_t) noexcept override { (void)cudaDeviceSynchronize(), (void)cudaFree(p); }
  bool release_unused() override { return ++released, keeps; }
};

// Without the place in the source.
std::string without_place(const std::string& text) {
  const std::size_t begin = text.rfind(" ("), end = text.find(')', begin);
  return begin == std::string::npos ? text : text.substr(0, begin) + text.substr(end + 1);
}

}  // namespace

TEST_CASE("a device that a library finds lost is lost, and its last kernel was the library's", "[cuda][faults]") {
  if (no_libraries()) return;
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

TEST_CASE("a library that finds too little memory gets what nobody uses, once; in a capture nothing can be given", "[cuda][faults]") {
  if (no_libraries()) return;
  const ByLibrary scope;
  const Device device = Device::cuda();
  const Tensor x = Tensor::ones({4, 4}, DType::f32, device);
  for (const auto& [op, refusal] : {std::pair<std::function<Tensor()>, std::string>(
                                        [&] { return softmax(x, 1); },
                                        "cudnnCreateTensorDescriptor failed: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED (4004), "
                                        "cudnnCreateTensorDescriptor: a failure that was asked for; use a smaller batch"),
                                    {[&] { return matmul(x, x); },
                                     "cublasLtMatmul failed: CUBLAS_STATUS_ALLOC_FAILED, the resource allocation failed; use a smaller batch"}}) {
    const std::vector<double> want = values(op());
    release_cached_memory(device);
    const std::size_t reserved = memory_stats(device).reserved;
    const auto fill_cache = [&] { Tensor::empty({1'000'000}, DType::f32, device); };
    const auto cached = [&] { return memory_stats(device).reserved >= reserved + 4'000'000; };
    fill_cache();
    CHECK(cached());
    emulator::fail(Call::library, 1, cudaErrorMemoryAllocation);
    CHECK(values(op()) == want);
    CHECK_FALSE(cached());

    const int calls = emulator::count(Call::library);
    emulator::fail(Call::library, 1, cudaErrorMemoryAllocation, true);
    CHECK(without_place(error_text<OutOfMemory>(op)) == refusal);
    CHECK(emulator::count(Call::library) == calls + 2);
    emulator::fail_nothing();

    fill_cache();
    int times = 0;
    const std::string recorded = error_text<OutOfMemory>([&] {
      CudaGraph().capture([&](int) {
        if (++times == 2) emulator::fail(Call::library, 1, cudaErrorMemoryAllocation);
        op();
      });
    });
    CHECK(without_place(recorded) == refusal);
    CHECK(cached());
    CHECK(values(op()) == want);
  }
}

TEST_CASE("a library's handle that finds too little memory is made anew where some can be given back", "[cuda][faults]") {
  if (no_libraries()) return;
  Keeping memory;
  const kernels::Settings settings;
  kernels::Cuda cuda(0, memory, settings);
  const std::function<bool()> handles[] = {[&] { return cuda.cublas() != nullptr; }, [&] { return cuda.cudnn() != nullptr; }};
  for (const auto& make : handles) {
    memory.keeps = false, memory.released = 0;
    emulator::fail(Call::library, 1, cudaErrorMemoryAllocation);
    CHECK(outcome_of([&] { make(); }).said == Said::out_of_memory);
    CHECK(memory.released == 1);
    memory.keeps = true;
    emulator::fail(Call::library, 1, cudaErrorMemoryAllocation);
    CHECK(make());
    CHECK(memory.released == 2);
  }
}

// The last ones: processes that lose a device, in faults_cuda_test.cpp, would take over these handles, which nothing destroys then, and
// leak them.
TEST_CASE("every call of a training step by cuBLAS and cuDNN fails, once and ever after, and the next step works", "[cuda][faults]") {
  if (no_libraries()) return;
  const ByLibrary scope;
  const Call eager[] = {Call::library, Call::launch, Call::allocation, Call::copy, Call::wait};
  Training training(false);
  training.clipped = false;  // no library does that
  check_every_fault(training, eager);
}

TEST_CASE("every call of a captured training step by cuBLAS and cuDNN fails, once and ever after, and the next step works", "[cuda][faults]") {
  if (no_libraries()) return;
  const ByLibrary scope;
  const Call captured[] = {Call::library, Call::launch, Call::graph};
  Training training(true);
  training.clipped = false;  // no library does that
  check_every_fault(training, captured);
}
#endif
