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

// The same by a library, which has a runtime of its own: a failure does not show in cudaGetLastError() of the program's.
cudaError_t enqueue_by_library(cudaStream_t stream, const char* name, std::vector<Buffer> buffers, std::function<void()> body);

cudaError_t refuse_call(cudaError_t error);  // returned, and remembered for cudaGetLastError()

// From when the stream gets there, AddressSanitizer lets device code use the first `usable` of the `size` bytes at p; the rest is
// out of bounds. Nothing without AddressSanitizer.
cudaError_t set_bounds(cudaStream_t stream, void* p, std::size_t usable, std::size_t size);

// ---- fault injection (also by EMULATOR_FAIL, options.h) ----

enum class Call {
  allocation,  // of device and pinned memory
  launch,      // of kernels, and what emulated libraries enqueue
  copy,        // memcpy and memset
  wait,        // waiting, and all that makes and uses streams and events
  graph,       // captures and graphs
  library,     // functions of emulated libraries
};
inline constexpr int call_kinds = 6;
const char* name_of(Call kind);

// The nth such call from now on fails, 1 being the next, and then every later one too if `ever_after`. Errors after which a process
// must be restarted stay: they break the context. Launches, copies and graphs fail so when the work runs, other calls at once.
void fail(Call kind, int nth, cudaError_t error, bool ever_after = false);
void fail_nothing();

int count(Call kind);  // of these calls in this process that were not refused by a broken context
int count_all();       // of all calls of the runtime

// What every function of an emulated library asks first: must it fail, and for what? It answers by a status of its own.
cudaError_t library_call();

// From now on the first `count` algorithms that a library's heuristics propose for a problem are answered with NOT_SUPPORTED when
// they are to run, as heuristics may be wrong.
void refuse_proposals(int count);
bool refuses_proposal(std::size_t rank);  // asked by the fakes when one runs
int refused_proposals();                  // how often that was so, in all

inline void fail_malloc(int nth, cudaError_t error = cudaErrorMemoryAllocation) { fail(Call::allocation, nth, error); }
inline void fail_launch(int nth, cudaError_t error) { fail(Call::launch, nth, error); }
inline void fail_library_call(int nth, bool ever_after = false) { fail(Call::library, nth, cudaErrorUnknown, ever_after); }

// How often work was enqueued whose name begins so: that a library did something, or copies to the host.
int submitted(std::string_view prefix);
inline constexpr const char* reading = "copy to the host";

// Counts live objects for the leak report at exit; the libraries' emulations add their handles and descriptors.
void track(const char* kind, int delta);

}  // namespace emulator
