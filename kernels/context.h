// What a kernel takes first: the context of a backend. It carries what the kernel may use, so that kernels allocate nothing
// and cannot forget their threads or their stream.
#pragma once

#include <mica/kernels/cpu/context.h>

namespace mica::kernels {

class Cuda;  // kernels/cuda/context.h; overloads on it exist in builds with CUDA

// Does the policy choose cuDNN for this op, and can it be used here? Which is faster has not been measured yet, so it is
// chosen only where the library is asked for.
inline bool by_cudnn(Cpu&, LibraryOp) { return false; }
bool by_cudnn(Cuda& cuda, LibraryOp op);

}  // namespace mica::kernels
