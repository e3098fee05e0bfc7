// What the fakes offer beyond the CUDA API: submitting emulated work, schedules, fault injection, reports.
#pragma once
#include <cuda_runtime_api.h>
#include <cstddef>
#include <functional>
#include <vector>

namespace emulator {

// How far the "device" runs behind the host. A correct program computes the same bits under all of them.
enum class Schedule {
  lazy,    // slowest device: work runs only when the host waits, and then only the work that wait needs
  eager,   // fastest device: work runs as soon as it is submitted
  random,  // seeded: at every submission and wait, ready work of any stream may run
};
struct Options {
  Schedule schedule = Schedule::lazy;
  unsigned seed = 1;
  size_t device_bytes = size_t(1) << 30;
};
void configure(const Options&);  // before the first CUDA call; EMULATOR_SCHEDULE=lazy|eager|random:<seed> sets the default

struct Buffer { const void* p; size_t bytes; };

// Submits device work to a stream, or records it if the stream is being captured. The closure must own copies of its
// arguments. When it runs, every buffer must be live device memory; anything else is a sticky cudaErrorIllegalAddress.
// Like a launch, a failure also shows in cudaGetLastError().
cudaError_t enqueue(cudaStream_t stream, const char* name, std::vector<Buffer> buffers, std::function<void()> body);

// Fault injection: the nth call from now on fails, 1 being the next. Errors that a real device raises while it runs
// (cudaErrorIllegalAddress, cudaErrorLaunchFailure, ...) appear when the work runs and are sticky; others at once.
void fail_malloc(int nth, cudaError_t error = cudaErrorMemoryAllocation);
void fail_launch(int nth, cudaError_t error);

// Counts live objects for the leak report at exit; the fake libraries add their handles and descriptors.
void track(const char* kind, int delta);

// Prints "cuda_host_emu: ..." to stderr. Every misuse that the fakes notice is explained this way.
void report(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace emulator
