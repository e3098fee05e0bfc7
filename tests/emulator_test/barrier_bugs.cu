// Threads that do not wait for one another, or wait for ever.
#include "one_block.h"

#include <mica/kernels/cuda/launch.h>
#include <mica/kernels/cuda/tensor_core.h>

namespace planted {
namespace {

using mica::kernels::launch;
using mica::kernels::Scratch;

// ---- kernels; the line without `bug` is the correct one ----

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

__global__ void product_in_branch(bool bug, float* y) {
  float d[4] = {};
  if (!bug || threadIdx.x < 16) mica::kernels::tensor_core_product(d, 1, 1, 1, 1, 1, 1);
  y[threadIdx.x] = d[0];
}

}  // namespace

std::vector<Program> barrier_bugs() {
  const std::string order = "order in which blocks and warps run|wrong result|data race";
  return {
      {"missing barrier", order, always, one_block<reversed, 64, 0, 63>},
      {"missing barrier before shared memory is used again", order, always,
       [](Bench& b, bool bug) {
         const Scratch<float> y(b.memory, 128);
         launch(b.cuda, "planted", reversed_twice, {dim3(1), dim3(64)}, bug, y.get());
         expect(host(b.cuda, y.get(), 64)[0] == 63 && host(b.cuda, y.get(), 64)[63] == 0, "wrong result");
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
      {"tensor-core product in a branch", "divergent barrier or deadlock", always, one_block<product_in_branch, 32, 0, 8>},
      {"shuffle of a warp that is not whole", "names lanes that the block does not have", always,
       [](Bench& b, bool bug) {
         launch(b.cuda, "planted", shuffle_on_two_lines, {dim3(1), dim3(bug ? 48 : 64)}, false, b.d);
         expect(host(b.cuda, b.d, 64)[0] == 1, "wrong result");
       }},
  };
}

}  // namespace planted
