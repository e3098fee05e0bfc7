// What a .cu file includes instead of cuda_runtime.h. By nvcc it becomes code for a GPU, by g++ code for the emulator
// (tests/emulator), where every CUDA thread is a fibre. Two rules keep a kernel portable: shared memory is declared by these
// macros, never by a raw __shared__, which g++ would take for a local variable; and no inline PTX without a twin.
#pragma once

#include <cuda_runtime.h>

#ifdef __CUDACC__
// MICA_SHARED(float, tile, [16][17]);
#define MICA_SHARED(T, name, dims) __shared__ T name dims
#define MICA_SHARED_ALIGNED(bytes, T, name, dims) __shared__ __align__(bytes) T name dims
// The launch's dynamic shared memory. One untyped array for the program: differently typed ones would clash.
#define MICA_SHARED_DYNAMIC(T, name)                                \
  extern __shared__ __align__(16) unsigned char mica_shared_bytes[]; \
  T* name = reinterpret_cast<T*>(mica_shared_bytes)
#define MICA_DEVICE __device__ __forceinline__
#define MICA_BEYOND_BOUNDS  // before __global__: this kernel may look at what lies behind a buffer
#else
#include <emulator/kernel.h>
#define MICA_DEVICE inline
#define MICA_BEYOND_BOUNDS __attribute__((no_sanitize("address")))
#endif
