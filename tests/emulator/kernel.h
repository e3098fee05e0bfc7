// CUDA's vocabulary for kernels that g++ compiles: indices, shared memory, barriers, warp functions, atomics, arithmetic, and
// the launch. kernels/cuda/portable.h and launch.h include it, and nothing else does.
#pragma once

#include <cuda_runtime.h>

#include "arithmetic.h"
#include "atomics.h"
#include "launch.h"
#include "tensor_core.h"
#include "warp.h"

#define __launch_bounds__(...)

// The thread that runs: static_cast, so that a kernel cannot change it.
#define threadIdx (static_cast<const emulator::Here&>(emulator::here).thread)
#define blockIdx (static_cast<const emulator::Here&>(emulator::here).block)
#define blockDim (static_cast<const emulator::Here&>(emulator::here).block_size)
#define gridDim (static_cast<const emulator::Here&>(emulator::here).grid_size)
inline constexpr int warpSize = 32;

namespace emulator {

template <class T>
T& shared(const void* key, std::size_t alignment = alignof(T)) {
  return *static_cast<T*>(multiprocessor().shared(key, sizeof(T), alignment));
}

}  // namespace emulator

// One variable for all threads of the block, known by the address of a static one beside it: in a template, one of each instance.
#define MICA_SHARED(T, name, dims) \
  static char emulator_key_##name; \
  auto& name = emulator::shared<T dims>(&emulator_key_##name)
#define MICA_SHARED_ALIGNED(bytes, T, name, dims) \
  static char emulator_key_##name;                \
  auto& name = emulator::shared<T dims>(&emulator_key_##name, bytes)
#define MICA_SHARED_DYNAMIC(T, name) T* name = static_cast<T*>(emulator::multiprocessor().dynamic_shared())

inline void __syncthreads(const emulator::Place& at = emulator::Place::current()) { emulator::multiprocessor().barrier(false, at); }
inline int __syncthreads_count(int vote, const emulator::Place& at = emulator::Place::current()) {
  return static_cast<int>(emulator::multiprocessor().barrier(vote != 0, at).count);
}
inline int __syncthreads_and(int vote, const emulator::Place& at = emulator::Place::current()) {
  return emulator::multiprocessor().barrier(vote != 0, at).all;
}
inline int __syncthreads_or(int vote, const emulator::Place& at = emulator::Place::current()) {
  return emulator::multiprocessor().barrier(vote != 0, at).any;
}
