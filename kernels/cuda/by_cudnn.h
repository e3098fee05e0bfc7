// Whether cuDNN does an op: for the dispatch of our own kernels, which does not see cuDNN's header.
#pragma once

#include <mica/kernels/context.h>
#include <mica/kernels/cuda/context.h>

#include <string>

namespace mica::kernels {

// Empty where cuDNN can be used, as far as is known, otherwise one sentence that says why it cannot.
std::string why_no_cudnn();

// First in a kernel's host function: if (MICA_BY_CUDNN(conv2d, conv2d_cudnn::forward(cuda, …))) return; our own kernel follows.
// The call returns false where cuDNN cannot do this case; it may have begun to write the result. It is done anew where memory ran out.
#ifdef MICA_CUDNN
#define MICA_BY_CUDNN(op, ...) (by_cudnn(cuda, LibraryOp::op) && cuda.by_library(cuda.with_more_memory([&] { return __VA_ARGS__; })))
#else
#define MICA_BY_CUDNN(op, ...) (false && (__VA_ARGS__))
#endif

}  // namespace mica::kernels
