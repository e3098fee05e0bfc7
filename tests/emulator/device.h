// What the emulator offers beyond the CUDA API: submitting work, fault injection, counting handles.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <string_view>
#include <vector>

namespace emulator {

struct Buffer {
  const void* p;
  std::size_t bytes;
  bool written = false;  // opened for writing at once; otherwise when something writes
};

// Submits device work to a stream, or records it if the stream is being captured. The closure must own copies of its arguments.
// When it runs, every buffer must be live device memory; anything else is a sticky cudaErrorIllegalAddress. Like a launch, a
// failure also shows in cudaGetLastError().
cudaError_t enqueue(cudaStream_t stream, const char* name, std::vector<Buffer> buffers, std::function<void()> body);

cudaError_t refuse_call(cudaError_t error);  // returned, and remembered for cudaGetLastError()

// From when the stream gets there, AddressSanitizer lets device code use the first `usable` of the `size` bytes at p; the rest is
// out of bounds. Nothing without AddressSanitizer.
cudaError_t set_bounds(cudaStream_t stream, void* p, std::size_t usable, std::size_t size);

// Fault injection: the nth call from now on fails, 1 being the next. Errors that a real device raises while it runs
// (cudaErrorIllegalAddress, cudaErrorLaunchFailure, …) appear when the work runs and are sticky; others at once.
void fail_malloc(int nth, cudaError_t error = cudaErrorMemoryAllocation);
void fail_launch(int nth, cudaError_t error);
void fail_library_call(int nth);  // of any library, but for what destroys

bool library_call();  // every function of an emulated library that can fail asks first whether it must

// How often work was enqueued whose name begins so: that a library did something.
int submitted(std::string_view prefix);

// Counts live objects for the leak report at exit; the libraries' emulations add their handles and descriptors.
void track(const char* kind, int delta);

}  // namespace emulator
