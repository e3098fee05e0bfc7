// When cuDNN cannot be used, and when a call of it fails: what is said, and that our own kernels do the work.
#if defined(MICA_CUDNN) && defined(MICA_CUDA_EMULATED)

#include "../catch.h"

#include <emulator/cudnn.h>
#include <emulator/device.h>

#include <mica/kernels/copy.h>
#include <mica/kernels/cuda/cudnn.h>
#include <mica/kernels/softmax.h>

using namespace mica::kernels;

namespace {

struct PlainMemory final : DeviceMemory {
  void* allocate(std::size_t bytes) override {
    void* p = nullptr;
    check(cudaMalloc(&p, bytes), "cudaMalloc");
    return p;
  }
  void free(void* p, std::size_t) noexcept override { (void)cudaDeviceSynchronize(), (void)cudaFree(p); }
};

// A context of its own, with softmax by cuDNN.
struct Bench {
  PlainMemory memory;
  Settings settings;
  Cuda cuda{0, memory, settings};
  Scratch<float> x{memory, 64}, y{memory, 64};

  Bench() { settings.policies[static_cast<std::size_t>(LibraryOp::softmax)] = Policy::library; }
};

// Of 64 zeros as one line.
float softmax_of_zeros(Bench& b) {
  fill<float>(b.cuda, 64, 0, b.x.get());
  softmax_forward<float>(b.cuda, {1, 64, 1}, b.x.get(), b.y.get());
  float last = -1;
  b.cuda.stream().synchronize();
  check(cudaMemcpy(&last, b.y.get() + 63, sizeof last, cudaMemcpyDeviceToHost));
  return last;
}

std::string error_of(Bench& b) {
  try {
    softmax_of_zeros(b);
  } catch (const mica::CudaError& error) {
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("cuDNN of another major version is refused, with both versions named", "[cuda][cudnn]") {
  Bench b;
  const std::string wanted = "this build is made for cuDNN " + std::to_string(CUDNN_MAJOR) + "." + std::to_string(CUDNN_MINOR);
  for (const auto& [version, name] : {std::pair<std::size_t, std::string>(8902, "8.9"), {100300, "10.3"}}) {
    emulator::set_cudnn_version(version);
    CHECK(why_no_cudnn() == wanted + ", and cuDNN " + name + " is what was found; install version " + std::to_string(CUDNN_MAJOR));
    const long before = emulator::cudnn_calls("cudnnSoftmaxForward");
    CHECK(softmax_of_zeros(b) == 1.F / 64);  // by our own
    CHECK(emulator::cudnn_calls("cudnnSoftmaxForward") == before);
    CHECK(b.cuda.cudnn() == nullptr);
  }
  emulator::set_cudnn_version(90100);  // an older 9 will do
  CHECK(why_no_cudnn().empty());
  CHECK(softmax_of_zeros(b) == 1.F / 64);
  CHECK(emulator::cudnn_calls("cudnnSoftmaxForward") > 0);
  emulator::set_cudnn_version(0);
}

TEST_CASE("a call of cuDNN that fails says which, why and where, and the next one works", "[cuda][cudnn]") {
  Bench b;
  CHECK(error_of(b).empty());
  int failures = 0;
  for (int nth = 1;; ++nth) {
    emulator::fail_cudnn(nth, CUDNN_STATUS_INTERNAL_ERROR);
    const std::string error = error_of(b);
    if (error.empty()) break;
    ++failures;
    INFO(error);
    CHECK(error.find("failed: CUDNN_STATUS_INTERNAL_ERROR (4000)") != std::string::npos);
    CHECK(error.find("_cudnn.cpp:") + error.find("cudnn.h:") + error.find("cudnn.cpp:") != 3 * std::string::npos);
    emulator::fail_cudnn(0, 0);
    CHECK(error_of(b).empty());
  }
  emulator::fail_cudnn(0, 0);
  CHECK(failures >= 3);  // making the descriptor, setting it, softmax
  emulator::fail_cudnn(1, CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED);
  CHECK_THROWS_AS(softmax_of_zeros(b), mica::OutOfMemory);
  emulator::fail_cudnn(3, CUDNN_STATUS_NOT_SUPPORTED);
  CHECK(softmax_of_zeros(b) == 1.F / 64);                   // by our own
  emulator::fail_launch(2, cudaErrorLaunchOutOfResources);  // after the fill
  CHECK(
      error_of(b).find(
          "cudnnSoftmaxForward failed: CUDNN_STATUS_EXECUTION_FAILED_CUDART (5003), cudnnSoftmaxForward: cudaErrorLaunchOutOfResources") ==
      0);
  CHECK(error_of(b).empty());
}

TEST_CASE("cuDNN is not asked to read where its kernels cannot", "[cuda][cudnn]") {
  Bench b;
  fill<float>(b.cuda, 64, 0, b.x.get());
  const long before = emulator::cudnn_calls("cudnnSoftmaxForward");
  softmax_forward<float>(b.cuda, {1, 60, 1}, b.x.get() + 1, b.y.get());  // 4 bytes behind 16
  softmax_forward<float>(b.cuda, {1, 60, 1}, b.x.get(), b.y.get() + 3);
  CHECK(emulator::cudnn_calls("cudnnSoftmaxForward") == before);
  softmax_forward<float>(b.cuda, {1, 60, 1}, b.x.get() + 4, b.y.get());
  CHECK(emulator::cudnn_calls("cudnnSoftmaxForward") == before + 1);
}

#endif
