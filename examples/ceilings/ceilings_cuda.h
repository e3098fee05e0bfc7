// The kernels of ceilings.cu. Each queues work on the stream.
#pragma once

#include <mica/kernels/cuda/context.h>

namespace mica::bench {

using kernels::Cuda;

void copy_all(Cuda& cuda, std::size_t bytes, const void* from, void* to);  // bytes: a multiple of 16
// Chains of multiply-adds in registers; how many floating-point operations they are. sink: one float.
double multiply_add_all(Cuda& cuda, int times, float* sink);
double tensor_core_all(Cuda& cuda, int times, float* sink);  // the same by tensor cores in TF32, where the device has them
void empty_kernel(Cuda& cuda);

}  // namespace mica::bench
