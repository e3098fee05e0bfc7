// Bugs inside one kernel. Each kernel takes `bug`; the line without it is the correct one.
#include "planted.h"

#include <mica/kernels/cuda/block_reduce.h>
#include <mica/kernels/cuda/launch.h>

namespace planted {
namespace {

using mica::kernels::Cuda;
using mica::kernels::i64;
using mica::kernels::launch;
using mica::kernels::Scratch;

// ---- barriers ----

__global__ void reversed(bool bug, float* y) {
  MICA_SHARED(float, held, [64]);
  held[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (!bug) __syncthreads();
  y[threadIdx.x] = held[63 - threadIdx.x];
}

// The second use of `held` may begin while a slow warp is still at the first.
__global__ void reversed_twice(bool bug, float* y) {
  MICA_SHARED(float, held, [64]);
  for (int round = 0; round < 2; ++round) {
    held[threadIdx.x] = static_cast<float>(threadIdx.x + 100 * round);
    __syncthreads();
    y[threadIdx.x + 64 * round] = held[63 - threadIdx.x];
    if (!bug) __syncthreads();
  }
}

__global__ void reversed_in_warp(bool bug, float* y) {
  MICA_SHARED(float, held, [32]);
  held[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (!bug) __syncwarp();
  y[threadIdx.x] = held[31 - threadIdx.x];
}

__global__ void barrier_for_some(bool bug, float* y) {
  if (!bug || threadIdx.x < 40) __syncthreads();
  y[threadIdx.x] = 1;
}

__global__ void two_barriers(bool bug, float* y) {
  if (bug && threadIdx.x < 32) {
    y[threadIdx.x] = 1;
    __syncthreads();
  } else {
    __syncthreads();
    y[threadIdx.x] = 1;
  }
}

__global__ void early_return(bool bug, int n, float* y) {
  if (bug && static_cast<int>(threadIdx.x) >= n) return;
  if (static_cast<int>(threadIdx.x) < n) y[threadIdx.x] = 1;
  __syncthreads();
  if (static_cast<int>(threadIdx.x) < n) y[threadIdx.x] += 1;
}

// ---- warp functions ----

__global__ void shuffle_in_branch(bool bug, float* y) {
  float v = static_cast<float>(threadIdx.x);
  if (threadIdx.x < 16) v = __shfl_xor_sync(bug ? 0xffffffffu : 0x0000ffffu, v, 1);
  y[threadIdx.x] = v;
}

__global__ void shuffle_on_two_lines(bool bug, float* y) {
  float v = static_cast<float>(threadIdx.x);
  if (bug && threadIdx.x % 2) v = __shfl_xor_sync(0xffffffffu, v, 1);
  else v = __shfl_xor_sync(0xffffffffu, v, 1);
  y[threadIdx.x] = v;
}

__global__ void shuffle_from_outside(bool bug, float* y) {
  float v = static_cast<float>(threadIdx.x);
  if (threadIdx.x < 16) v = __shfl_xor_sync(0x0000ffffu, v, bug ? 16 : 8);
  y[threadIdx.x] = v;
}

// ---- bounds ----

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
__global__ void four_at_once(bool bug, float* y) {
  reinterpret_cast<Four*>(y + (bug ? 1 : 0))[threadIdx.x] = {1, 2, 3, 4};
}

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

// ---- blocks ----

__global__ void read_neighbour(bool bug, const float* x, float* y) {
  const unsigned next = (blockIdx.x + 1) % gridDim.x;
  y[blockIdx.x * 64 + threadIdx.x] = (bug ? y : x)[next * 64 + threadIdx.x] + 1;
}

__global__ void sum_of_blocks(bool bug, const float* x, float* y) {
  const float part = mica::kernels::block_reduce(x[blockIdx.x * 64 + threadIdx.x], 0.f, mica::kernels::Plus());
  if (threadIdx.x > 0) return;
  if (bug) y[0] += part;
  else y[blockIdx.x] = part;
}

// Whole numbers, so that every order gives the same sum; only the update that is not one step is wrong.
__global__ void count_blocks(bool bug, unsigned* count) {
  if (threadIdx.x > 0) return;
  if (bug) *count += 1;
  else atomicAdd(count, 1u);
}

__global__ void count_threads(bool bug, unsigned* count) {
  MICA_SHARED(unsigned, held, [1]);
  if (threadIdx.x == 0) held[0] = 0;
  __syncthreads();
  if (bug) held[0] += 1;
  else atomicAdd(&held[0], 1u);
  __syncthreads();
  if (threadIdx.x == 0) count[0] = held[0];
}

__global__ void wait_for_all_blocks(bool bug, unsigned* count) {
  if (threadIdx.x > 0) return;
  atomicAdd(count, 1u);
  while (bug && atomicAdd(count, 0u) < gridDim.x) {
  }
}

// The last block to come adds up what the others left.
__global__ void last_block_sums(bool bug, unsigned* count, float* parts, float* y) {
  MICA_SHARED(bool, last, [1]);
  if (threadIdx.x == 0) {
    parts[blockIdx.x] = 1;
    if (!bug) __threadfence();
    last[0] = atomicAdd(count, 1u) == gridDim.x - 1;
    if (!bug) __threadfence();
  }
  __syncthreads();
  if (!last[0] || threadIdx.x > 0) return;
  float sum = 0;
  for (unsigned i = 0; i < gridDim.x; ++i) sum += parts[i];
  y[0] = sum;
}

__global__ void fill_kernel(int n, float value, float* y) {
  for (int i = static_cast<int>(mica::kernels::first_item()); i < n; i += static_cast<int>(mica::kernels::item_step())) y[i] = value;
}

// ---- the programs ----

// Runs kernel(bug, d) with one block, and looks at one of the values it leaves.
template <auto kernel, unsigned threads, unsigned at, int value>
void one_block(Bench& b, bool bug) {
  launch(b.cuda, "planted", kernel, {dim3(1), dim3(threads)}, bug, b.d);
  expect(host(b.cuda, b.d, 64)[at] == static_cast<float>(value), "wrong result");
}

std::vector<Program> barriers() {
  const std::string order = "order in which blocks and warps run|wrong result|data race";
  return {
      {"missing barrier", order, always, one_block<reversed, 64, 0, 63>},
      {"missing barrier before shared memory is used again", order, always,
       [](Bench& b, bool bug) {
         const Scratch<float> y(b.memory, 128);
         launch(b.cuda, "planted", reversed_twice, {dim3(1), dim3(64)}, bug, y.get());
         for (int i = 0; i < 64; ++i) expect(host(b.cuda, y.get(), 64)[static_cast<std::size_t>(i)] == 63.f - static_cast<float>(i), "wrong result");
       }},
      {"missing __syncwarp", order, always, one_block<reversed_in_warp, 32, 0, 31>},
      {"barrier that some threads miss", "divergent barrier or deadlock", always, one_block<barrier_for_some, 64, 0, 1>},
      {"two barriers", "32 threads, the first \\(0,0,0\\), wait at __syncthreads", always, one_block<two_barriers, 64, 0, 1>},
      {"return before a barrier", "24 of 64 threads have ended", always,
       [](Bench& b, bool bug) {
         launch(b.cuda, "planted", early_return, {dim3(1), dim3(64)}, bug, 40, b.d);
         expect(host(b.cuda, b.d, 64)[0] == 2, "wrong result");
       }},
      {"shuffle of a whole warp in a branch", "divergent barrier or deadlock", always, one_block<shuffle_in_branch, 32, 0, 1>},
      {"shuffle on two lines", "lanes of one warp disagree", always, one_block<shuffle_on_two_lines, 32, 0, 1>},
      {"shuffle from a lane outside the mask", "which is not in mask 0000ffff", always, one_block<shuffle_from_outside, 32, 0, 8>},
      {"shuffle of a warp that is not whole", "names lanes that the block does not have", always,
       [](Bench& b, bool bug) {
         launch(b.cuda, "planted", shuffle_on_two_lines, {dim3(1), dim3(bug ? 48 : 64)}, false, b.d);
         expect(host(b.cuda, b.d, 64)[0] == 1, "wrong result");
       }},
  };
}

std::vector<Program> bounds() {
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
      {"misaligned 16-byte access", "misaligned address", always | with_asan, one_block<four_at_once, 8, 1, 2>},
      {"16-byte access to shared memory that is aligned to 4", "misaligned address", always | with_asan, one_block<four_of_shared, 32, 0, 1>},
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
       [](Bench& b, bool bug) { launch(b.cuda, "planted", write_until, {dim3(1), dim3(bug ? 1025 : 1024)}, 64, b.d); }},
      {"empty grid", "cudaErrorInvalidConfiguration", always,
       [](Bench& b, bool bug) { launch(b.cuda, "planted", write_until, {dim3(bug ? 0 : 1), dim3(32)}, 64, b.d); }},
  };
}

std::vector<Program> blocks() {
  return {
      {"race between blocks", "order in which blocks and warps run|data race", always,
       [](Bench& b, bool bug) {
         const Scratch<float> x(b.memory, 256), y(b.memory, 256);
         fill(b.cuda, x.get(), 1, 256), fill(b.cuda, y.get(), 1, 256);
         launch(b.cuda, "planted", read_neighbour, {dim3(4), dim3(64)}, bug, x.get(), y.get());
         if (!bug) expect(host(b.cuda, y.get(), 256)[0] == 2, "wrong result");
         else b.cuda.stream().synchronize();
       }},
      {"sum by several blocks without order", "order in which blocks and warps run|data race", always,
       [](Bench& b, bool bug) {
         const Scratch<float> x(b.memory, 512), y(b.memory, 8);
         for (int i = 0; i < 8; ++i) fill(b.cuda, x.get() + 64 * i, i % 2 ? 1.f : i % 4 ? -1e8f : 1e8f, 64);  // ones get lost beside 10⁸
         fill(b.cuda, y.get(), 0, 8);
         launch(b.cuda, "planted", sum_of_blocks, {dim3(8), dim3(64)}, bug, x.get(), y.get());
         b.cuda.stream().synchronize();
       }},
      {"lost update between blocks", "data race", always | with_tsan,
       [](Bench& b, bool bug) {
         auto* const count = reinterpret_cast<unsigned*>(b.d);
         fill(b.cuda, b.d, 0, 64);
         launch(b.cuda, "planted", count_blocks, {dim3(4), dim3(32)}, bug, count);
         b.cuda.stream().synchronize();
       }},
      {"lost update between threads", "data race", always | with_tsan,
       [](Bench& b, bool bug) {
         launch(b.cuda, "planted", count_threads, {dim3(1), dim3(64)}, bug, reinterpret_cast<unsigned*>(b.d));
         b.cuda.stream().synchronize();
       }},
      {"missing fence before the last block reads", "data race", always | with_tsan,
       [](Bench& b, bool bug) {
         const Scratch<unsigned> count(b.memory, 1);
         const Scratch<float> parts(b.memory, 4);
         mica::kernels::check(cudaMemsetAsync(count.get(), 0, 4, b.cuda.stream().get()));
         launch(b.cuda, "planted", last_block_sums, {dim3(4), dim3(64)}, bug, count.get(), parts.get(), b.d);
         expect(host(b.cuda, b.d, 64)[0] == 4, "wrong result");
       }},
      {"wait for a block that does not run", "no progress after 2\\^22 atomics", always,
       [](Bench& b, bool bug) {
         const Scratch<unsigned> count(b.memory, 1);
         mica::kernels::check(cudaMemsetAsync(count.get(), 0, 4, b.cuda.stream().get()));
         launch(b.cuda, "planted", wait_for_all_blocks, {dim3(2), dim3(32)}, bug, count.get());
         b.cuda.stream().synchronize();
       }},
  };
}

}  // namespace

void fill(Cuda& cuda, float* p, float value, int n) {
  launch(cuda, "fill", fill_kernel, mica::kernels::grid_for(cuda, n, 32), n, value, p);
}

std::vector<Program> kernel_bugs() {
  std::vector<Program> all;
  for (const auto& some : {barriers(), bounds(), blocks()}) all.insert(all.end(), some.begin(), some.end());
  return all;
}

}  // namespace planted
