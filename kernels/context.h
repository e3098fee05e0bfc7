// What a kernel takes first: the context of a backend. It carries what the kernel may use, so that kernels allocate nothing
// and cannot forget their threads or their stream.
#pragma once

#include <mica/kernels/cpu/context.h>

namespace mica::kernels {

class Cuda;  // kernels/cuda/context.h; overloads on it exist in builds with CUDA

}  // namespace mica::kernels
