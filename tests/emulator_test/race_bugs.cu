// Blocks, or threads between two barriers, that get into each other's way.
#include "planted.h"

#include <mica/kernels/cuda/block_reduce.h>
#include <mica/kernels/cuda/launch.h>

namespace planted {
namespace {

using mica::kernels::launch;
using mica::kernels::Scratch;

// ---- kernels; the line without `bug` is the correct one ----

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

}  // namespace

std::vector<Program> race_bugs() {
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

}  // namespace planted
