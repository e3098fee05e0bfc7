// The only way to start a kernel: launch(cuda, "relu", relu_kernel<float>, {blocks, threads}, n, x, y), checked.
// The name appears in errors. Under the environment variable CUDA_LAUNCH_BLOCKING=1, which is CUDA's own, a failing kernel is
// reported by the launch that started it, and not by a later call.
#pragma once

#include <mica/kernels/cuda/context.h>
#include <mica/kernels/cuda/portable.h>

#include <algorithm>
#include <type_traits>

namespace mica::kernels {

struct LaunchShape {
  dim3 grid, block;
  std::size_t shared_bytes = 0;  // dynamic shared memory
};

inline constexpr std::size_t shared_bytes_without_asking = 48 << 10;

template <class... P>
void launch(Cuda& cuda, const char* name, void (*kernel)(P...), const LaunchShape& shape, std::type_identity_t<P>... arguments) {
  cuda.launched(name);
  if (shape.shared_bytes > shared_bytes_without_asking)
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.shared_bytes)), name);
#ifdef __CUDACC__
  kernel<<<shape.grid, shape.block, shape.shared_bytes, cuda.stream().get()>>>(arguments...);
#else
  (void)emulator::launch(cuda.stream().get(), name, kernel, shape.grid, shape.block, shape.shared_bytes, arguments...);
#endif
  check(cudaGetLastError(), name);
}

// From when the stream gets there, kernels and copies may use the first `usable` of the `size` bytes at p. Enforced in the
// emulated build under AddressSanitizer only.
inline void limit_bounds([[maybe_unused]] const Cuda& cuda, [[maybe_unused]] void* p, [[maybe_unused]] std::size_t usable,
                         [[maybe_unused]] std::size_t size) {
#ifndef __CUDACC__
  check(emulator::set_bounds(cuda.stream().get(), p, usable, size), "setting a buffer's bounds");
#endif
}

inline constexpr int threads_per_block = 256;

constexpr i64 ceil_div(i64 a, i64 b) { return (a + b - 1) / b; }

// For a grid-stride loop over n > 0 items: enough blocks to fill the device several times over, and no more.
inline LaunchShape grid_for(const Cuda& cuda, i64 n, int threads = threads_per_block) {
  const i64 blocks = std::min<i64>(ceil_div(n, threads), i64{cuda.multiprocessors()} * 32);
  return {dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(threads))};
}

// This thread's first item in such a loop, and the step to its next. Items are counted in 32 bits: a tensor on the device has
// at most 2³¹ − 1 elements (core/tensor.cpp), and one step beyond that still fits.
MICA_DEVICE unsigned first_item() { return blockIdx.x * blockDim.x + threadIdx.x; }
MICA_DEVICE unsigned item_step() { return gridDim.x * blockDim.x; }

}  // namespace mica::kernels
