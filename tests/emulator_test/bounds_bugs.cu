// Accesses outside of what is there, before it is set, or after it is gone.
#include "one_block.h"

#include <mica/kernels/cuda/launch.h>

namespace planted {
namespace {

using mica::kernels::launch;
using mica::kernels::Scratch;

// ---- kernels; the line without `bug` is the correct one ----

__global__ void write_until(int n, float* y) {
  for (int i = static_cast<int>(mica::kernels::first_item()); i < n; i += static_cast<int>(mica::kernels::item_step())) y[i] = 1;
}

__global__ void read_until(int n, const float* x, float* y) {
  float sum = 0;
  for (int i = 0; i < n; ++i) sum += x[i];
  y[0] = sum;
}

__global__ void past_shared(bool bug, float* y) {
  MICA_SHARED(float, held, [32]);
  if (threadIdx.x == 0) held[bug ? 32 : 31] = 1;
  y[threadIdx.x] = 1;
}

__global__ void past_dynamic_shared(bool bug, float* y) {
  MICA_SHARED_DYNAMIC(float, held);
  held[threadIdx.x + (bug ? 1 : 0)] = 1;
  y[threadIdx.x] = 1;
}

__global__ void unset_shared(bool bug, float* y) {
  MICA_SHARED(float, held, [32]);
  if (!bug || threadIdx.x < 31) held[threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.x] = held[threadIdx.x];
}

__global__ void too_much_shared(float* y) {
  MICA_SHARED(float, held, [48 * 256 + 1]);
  held[threadIdx.x] = 1;
  y[threadIdx.x] = held[threadIdx.x];
}

struct alignas(16) Four {
  float at[4];
};
__global__ void four_at_once(bool bug, float* y) { reinterpret_cast<Four*>(y + (bug ? 1 : 0))[threadIdx.x] = {1, 2, 3, 4}; }

__global__ void four_of_shared(bool bug, float* y) {
  MICA_SHARED(float, unaligned, [32]);
  MICA_SHARED_ALIGNED(16, float, aligned, [32]);
  float* const held = bug ? unaligned : aligned;
  held[threadIdx.x] = 1;
  __syncthreads();
  if (threadIdx.x < 8) y[threadIdx.x] = reinterpret_cast<Four*>(held)[threadIdx.x].at[0];
}

template <int size>
[[gnu::noinline]] float through_stack(unsigned i) {
  volatile float local[size];
  for (int k = 0; k < size; ++k) local[size - 1 - k] = 1;
  return local[size - 1 - i];
}
__global__ void much_stack(bool bug, float* y) { y[threadIdx.x] = bug ? through_stack<40000>(threadIdx.x) : through_stack<400>(threadIdx.x); }

struct Operands {
  const float* x;
  float* y;
};
__global__ void through_struct(Operands operands) { operands.y[threadIdx.x] = operands.x[threadIdx.x]; }

}  // namespace

std::vector<Program> bounds_bugs() {
  return {
      {"off by one past device memory", "made an illegal access .*byte 256 of device allocation .*\\(256 bytes\\)", always,
       [](Bench& b, bool bug) {
         launch(b.cuda, "planted", write_until, {dim3(2), dim3(32)}, bug ? 65 : 64, b.d);
         b.cuda.stream().synchronize();
       }},
      {"off by one inside a page", "use-after-poison|unknown-crash", always | with_asan,
       [](Bench& b, bool bug) {
         const Scratch<float> odd(b.memory, 63);
         launch(b.cuda, "planted", write_until, {dim3(2), dim3(32)}, bug ? 64 : 63, odd.get());
         b.cuda.stream().synchronize();
       }},
      {"read of one past the end", "made an illegal access .*byte 256 of device allocation", always,
       [](Bench& b, bool bug) {
         const Scratch<float> y(b.memory, 1);
         fill(b.cuda, b.d, 1, 64);
         launch(b.cuda, "planted", read_until, {dim3(1), dim3(1)}, bug ? 65 : 64, b.d, y.get());
         expect(host(b.cuda, y.get(), 1)[0] == 64, "wrong result");
       }},
      {"off by one in shared memory", "past the end of a shared variable of 128 bytes|use-after-poison|out of bounds", always,
       one_block<past_shared, 32, 0, 1>},
      {"off by one in dynamic shared memory", "past the end of a shared variable of 128 bytes|use-after-poison", always,
       [](Bench& b, bool bug) {
         launch(b.cuda, "planted", past_dynamic_shared, {dim3(1), dim3(32), 128}, bug, b.d);
         expect(host(b.cuda, b.d, 64)[0] == 1, "wrong result");
       }},
      {"no dynamic shared memory asked for", "the launch asked for none", always,
       [](Bench& b, bool bug) {
         launch(b.cuda, "planted", past_dynamic_shared, {dim3(1), dim3(32), bug ? 0u : 128u}, false, b.d);
         expect(host(b.cuda, b.d, 64)[0] == 1, "wrong result");
       }},
      {"shared memory that was not set", "wrong result", always, one_block<unset_shared, 32, 31, 1>},
      {"shared memory over its limit", "uses 49156 bytes of shared memory", always,
       [](Bench& b, bool bug) {
         if (bug) launch(b.cuda, "planted", too_much_shared, {dim3(1), dim3(32)}, b.d);
         b.cuda.stream().synchronize();
       }},
      {"dynamic shared memory that was not allowed", "cudaErrorInvalidConfiguration", always,
       [](Bench& b, bool bug) {
         if (!bug) return launch(b.cuda, "planted", past_dynamic_shared, {dim3(1), dim3(32), 99 << 10}, false, b.d);
         mica::kernels::check(emulator::launch(b.cuda.stream().get(), "planted", too_much_shared, dim3(1), dim3(32), 49 << 10, b.d), "planted");
       }},
      {"dynamic shared memory that no kernel may have", "or more than 101376 bytes", always,
       [](Bench& b, bool bug) { launch(b.cuda, "planted", past_dynamic_shared, {dim3(1), dim3(32), (99u << 10) + bug}, false, b.d); }},
      {"misaligned 16-byte access", "misaligned address", always | with_asan, one_block<four_at_once, 8, 1, 2>},
      {"16-byte access to shared memory that is aligned to 4", "misaligned address", always | with_asan,
       one_block<four_of_shared, 32, 0, 1>},
      {"too much stack", "needs more than 64 KB of stack|stack-overflow", always | without_tsan, one_block<much_stack, 1, 0, 1>},
      {"host memory given to a kernel", "which is not device memory", always,
       [](Bench& b, bool bug) {
         float values[64];
         launch(b.cuda, "planted", write_until, {dim3(1), dim3(32)}, 64, bug ? values : b.d);
         b.cuda.stream().synchronize();
       }},
      {"use after free", "which is freed memory", always,
       [](Bench& b, bool bug) {
         void* p = b.memory.allocate(256);
         if (bug) b.memory.free(p, 256);
         launch(b.cuda, "planted", write_until, {dim3(1), dim3(32)}, 64, static_cast<float*>(p));
         b.cuda.stream().synchronize();
         if (!bug) b.memory.free(p, 256);
       }},
      {"use after free, through a struct", "illegal access .*byte [0-9]+ of freed device allocation", always,
       [](Bench& b, bool bug) {
         auto* p = static_cast<float*>(b.memory.allocate(256));
         fill(b.cuda, p, 1, 64);
         if (bug) b.memory.free(p, 256);
         launch(b.cuda, "planted", through_struct, {dim3(1), dim3(32)}, Operands{p, b.d});
         expect(host(b.cuda, b.d, 64)[0] == 1, "wrong result");
         if (!bug) b.memory.free(p, 256);
       }},
      {"too many threads in a block", "cudaErrorInvalidConfiguration", always,
       [](Bench& b, bool bug) {
         launch(b.cuda, "planted", write_until, {dim3(1), dim3(bug ? 1025 : 1024)}, 64, b.d);
       }},
      {"empty grid", "cudaErrorInvalidConfiguration", always,
       [](Bench& b, bool bug) {
         launch(b.cuda, "planted", write_until, {dim3(bug ? 0 : 1), dim3(32)}, 64, b.d);
       }},
  };
}

}  // namespace planted
