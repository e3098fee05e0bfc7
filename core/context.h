// The contexts that ops hand to kernels: on the CPU one for each calling thread, on CUDA one for each device.
#pragma once

#include <mica/core/device.h>
#include <mica/kernels/context.h>
#include <mica/kernels/settings.h>

namespace mica {

kernels::Cpu& cpu_context();                // the calling thread's
kernels::Cuda& cuda_context(Device device);  // in builds with CUDA

using kernels::LibraryOps;
LibraryOps library_ops(Device device);  // that cuBLAS and cuDNN did there so far, and refused, which our own kernels did then; of the CPU none

// Threads that CPU ops use from now on: those of this thread at once, of other threads when they start. The default
// is $OMP_NUM_THREADS, else one for each core. Throws Error unless 1 <= threads <= 1024.
void set_num_threads(int threads);
int num_threads();

}  // namespace mica
