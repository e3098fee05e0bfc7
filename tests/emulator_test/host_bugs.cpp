// Missing order between host, copies and kernels; memory used at the wrong time; errors that are not looked at; leaks.
#include "planted.h"

#include <emulator/device.h>

#include <algorithm>
#include <cmath>

namespace planted {
namespace {

using mica::kernels::check;
using mica::kernels::Cuda;
using mica::kernels::Pinned;
using mica::kernels::Scratch;

constexpr std::size_t bytes = 64 * sizeof(float);
constexpr auto to_host = cudaMemcpyDeviceToHost, to_device = cudaMemcpyHostToDevice, on_device = cudaMemcpyDeviceToDevice;

float* floats(const Pinned& pinned) { return static_cast<float*>(pinned.get()); }

std::vector<Program> order() {
  return {
      {"missing wait before the host reads", "host code touched pinned memory", late,
       [](Bench& b, bool bug) {
         const Pinned out(bytes);
         fill(b.cuda, b.d, 2.5f, 64);
         check(cudaMemcpyAsync(out.get(), b.d, bytes, to_host, b.cuda.stream().get()));
         if (!bug) b.cuda.stream().synchronize();
         expect(floats(out)[63] == 2.5f, "wrong result");
       }},
      {"missing wait between streams", "wrong result", late,
       [](Bench& b, bool bug) {
         Cuda consumer(0, b.memory, b.settings);
         const Scratch<float> copy(b.memory, 64);
         mica::kernels::Event ready;
         fill(b.cuda, b.d, 2.5f, 64);
         ready.record(b.cuda.stream());
         if (!bug) check(cudaStreamWaitEvent(consumer.stream().get(), ready.get(), 0));
         check(cudaMemcpyAsync(copy.get(), b.d, bytes, on_device, consumer.stream().get()));
         expect(host(consumer, copy.get(), 64)[63] == 2.5f, "wrong result");
       }},
      {"kernel on the wrong stream", "wrong result", late,
       [](Bench& b, bool bug) {
         Cuda other(0, b.memory, b.settings);
         fill(b.cuda, b.d, 1, 64);
         fill(bug ? other : b.cuda, b.d, 3, 64);
         expect(host(b.cuda, b.d, 64)[0] == 3, "wrong result");
       }},
      {"cudaMemcpy, which waits for blocking streams only", "wrong result", late,
       [](Bench& b, bool bug) {
         float value = 0;
         fill(b.cuda, b.d, 2, 64);
         if (!bug) b.cuda.stream().synchronize();
         check(cudaMemcpy(&value, b.d, sizeof value, to_host));
         expect(value == 2, "wrong result");
       }},
      {"pinned source overwritten early", "host code touched pinned memory", late,
       [](Bench& b, bool bug) {
         const Pinned batch(bytes);
         std::fill_n(floats(batch), 64, 1.f);
         check(cudaMemcpyAsync(b.d, batch.get(), bytes, to_device, b.cuda.stream().get()));
         if (!bug) b.cuda.stream().synchronize();
         floats(batch)[0] = 2;  // the next batch
         expect(host(b.cuda, b.d, 64)[0] == 1, "wrong result");
       }},
      {"pinned source freed early", "which is freed memory", late,
       [](Bench& b, bool bug) {
         {
           const Pinned batch(bytes);
           check(cudaMemcpyAsync(b.d, batch.get(), bytes, to_device, b.cuda.stream().get()));
           if (!bug) b.cuda.stream().synchronize();
         }
         b.cuda.stream().synchronize();
       }},
      {"pageable source freed early", "heap-use-after-free", late | with_asan,
       [](Bench& b, bool bug) {
         {
           const std::vector<float> batch(64, 1.f);
           check(cudaMemcpyAsync(b.d, batch.data(), bytes, to_device, b.cuda.stream().get()));
           if (!bug) b.cuda.stream().synchronize();
         }
         b.cuda.stream().synchronize();
       }},
      {"time of unfinished work", "cudaErrorNotReady", late,
       [](Bench& b, bool bug) {
         mica::kernels::Owned<cudaEvent_t, cudaEventDestroy> start, end;
         float milliseconds = -1;
         check(cudaEventCreateWithFlags(start.out(), 0)), check(cudaEventCreateWithFlags(end.out(), 0));
         check(cudaEventRecord(start.get(), b.cuda.stream().get()));
         fill(b.cuda, b.d, 1, 64);
         check(cudaEventRecord(end.get(), b.cuda.stream().get()));
         while (!bug && cudaEventQuery(end.get()) == cudaErrorNotReady) (void)cudaGetLastError();  // ends
         check(cudaEventElapsedTime(&milliseconds, start.get(), end.get()), "cudaEventElapsedTime");
         expect(milliseconds >= 0, "negative time");
       }},
  };
}

std::vector<Program> memory() {
  return {
      {"device memory freed while a kernel is queued", "which is freed memory", late,
       [](Bench& b, bool bug) {
         void* p = b.memory.allocate(bytes);
         fill(b.cuda, static_cast<float*>(p), 1, 64);
         if (!bug) b.cuda.stream().synchronize();
         check(cudaFree(p));
         b.cuda.stream().synchronize();
       }},
      {"memory handed to another stream while in use", "wrong result", late,
       [](Bench& b, bool bug) {
         Cuda other(0, b.memory, b.settings);
         fill(b.cuda, b.d, 1, 64);  // the old owner; b.d then goes to the new one, whose work may come first
         fill(bug ? other : b.cuda, b.d, 2, 64);
         (bug ? other : b.cuda).stream().synchronize();
         expect(host(b.cuda, b.d, 64)[0] == 2, "wrong result");
       }},
      {"uninitialised device memory", "wrong result", always,
       [](Bench& b, bool bug) {
         if (!bug) fill(b.cuda, b.d, 0, 64);
         expect(host(b.cuda, b.d, 64)[0] == 0, "wrong result");
       }},
      {"host reads device memory", "host code dereferenced a device pointer, .* byte 20 of device allocation", always,
       [](Bench& b, bool bug) {
         fill(b.cuda, b.d, 1, 64);
         b.cuda.stream().synchronize();
         expect((bug ? static_cast<volatile float*>(b.d)[5] : host(b.cuda, b.d, 64)[5]) == 1, "wrong result");
       }},
      {"copy longer than its source", "do not fit the direction or the size", always,
       [](Bench& b, bool bug) {
         float values[65];
         check(cudaMemcpy(values, b.d, bug ? bytes + 4 : bytes, to_host), "cudaMemcpy");
       }},
      {"memory freed twice", "freed before", always,
       [](Bench& b, bool bug) {
         void* p = b.memory.allocate(4);
         check(cudaFree(p));
         if (bug) check(cudaFree(p));
       }},
      {"memory leaked", "leak: device allocation #[0-9]+, 12 bytes", always,
       [](Bench& b, bool bug) {
         void* p = b.memory.allocate(12);
         if (!bug) check(cudaFree(p));
       }},
      {"stream leaked", "leak: 1 stream", always,
       [](Bench&, bool bug) {
         cudaStream_t stream;
         check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
         if (!bug) check(cudaStreamDestroy(stream));
       }},
  };
}

std::vector<Program> errors() {
  return {
      {"handled out-of-memory left in cudaGetLastError", "fill failed: cudaErrorMemoryAllocation", always,
       [](Bench& b, bool bug) {
         emulator::fail_malloc(1);
         void* p = nullptr;
         expect(cudaMalloc(&p, 128) == cudaErrorMemoryAllocation, "the failure was not injected");
         if (!bug) (void)cudaGetLastError();
         fill(b.cuda, b.d, 1, 64);
         expect(host(b.cuda, b.d, 64)[0] == 1, "wrong result");
       }},
      {"failed launch ignored", "wrong result", always,
       [](Bench& b, bool bug) {
         emulator::fail_launch(1, cudaErrorLaunchOutOfResources);
         bool failed = false;
         try {
           fill(b.cuda, b.d, 1, 64);
         } catch (const mica::CudaError&) {
           failed = true;
         }
         expect(failed, "the launch said nothing");
         if (!bug) fill(b.cuda, b.d, 1, 64);  // not sticky: a second attempt may run
         expect(host(b.cuda, b.d, 64)[0] == 1, "wrong result");
       }},
      {"second of two copies fails, and nobody looks", "wrong result", always,
       [](Bench& b, bool bug) {
         const Scratch<float> copy(b.memory, 64);
         fill(b.cuda, b.d, 1, 64);
         fill(b.cuda, copy.get(), 2, 64);
         const int before = emulator::count(emulator::Call::copy);
         emulator::fail(emulator::Call::copy, 2, cudaErrorUnknown);
         for (int attempt = 0; attempt < 2; ++attempt) {
           const cudaError_t error = cudaMemcpyAsync(copy.get(), b.d, bytes / (attempt ? 1 : 2), on_device, b.cuda.stream().get());
           if (error != cudaSuccess) (void)cudaGetLastError();
           if (error != cudaSuccess && !bug) --attempt;
         }
         expect(emulator::count(emulator::Call::copy) - before == (bug ? 2 : 3), "wrong count");
         expect(host(b.cuda, copy.get(), 64)[63] == 1, "wrong result");
       }},
      {"wait that fails for ever, taken for the end of the work", "host code touched pinned memory", late,
       [](Bench& b, bool bug) {
         const Pinned out(bytes);
         fill(b.cuda, b.d, 2.5f, 64);
         check(cudaMemcpyAsync(out.get(), b.d, bytes, to_host, b.cuda.stream().get()));
         emulator::fail(emulator::Call::wait, 1, cudaErrorUnknown, true);
         for (int attempt = 0; attempt < 3; ++attempt) (void)cudaStreamSynchronize(b.cuda.stream().get());
         emulator::fail_nothing();
         if (!bug) b.cuda.stream().synchronize();
         expect(floats(out)[63] == 2.5f, "wrong result");
       }},
      {"destructors that call a lost device", "calls of a lost device", always,
       [](Bench& b, bool bug) {
         mica::kernels::Owned<cudaEvent_t, cudaEventDestroy> event;
         cudaEvent_t by_hand = nullptr;
         check(cudaEventCreateWithFlags(event.out(), 0)), check(cudaEventCreateWithFlags(&by_hand, 0));
         emulator::fail(emulator::Call::wait, 1, cudaErrorLaunchFailure);
         bool lost = false;
         try {
           b.cuda.stream().synchronize();
         } catch (const mica::DeviceLost&) {
           lost = true;
         }
         expect(lost, "the device is not lost");
         const int before = emulator::count_all();
         { const auto ends = std::move(event); }
         if (bug) (void)cudaEventDestroy(by_hand);
         expect(emulator::count_all() == before, "calls of a lost device");
       }},
      {"fault on the device, which is sticky", "cudaErrorIllegalAddress", always,
       [](Bench& b, bool bug) {
         if (bug) emulator::fail_launch(1, cudaErrorIllegalAddress);
         fill(b.cuda, b.d, 1, 64);  // the launch itself succeeds, unless it runs at once
         const cudaError_t first = cudaStreamSynchronize(b.cuda.stream().get());
         (void)cudaGetLastError();  // clears an ordinary error, not a sticky one
         void* p = nullptr;
         expect(cudaMalloc(&p, 4) == first && cudaPeekAtLastError() == first, "not sticky");
         check(first), check(cudaFree(p));
       }},
  };
}

}  // namespace

std::vector<Program> host_bugs() {
  std::vector<Program> all;
  for (const auto& some : {order(), memory(), errors()}) all.insert(all.end(), some.begin(), some.end());
  return all;
}

}  // namespace planted
