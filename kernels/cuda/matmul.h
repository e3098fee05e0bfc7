// The two implementations behind matmul on CUDA; kernels/cuda/matmul.cpp chooses.
#pragma once

#include <mica/kernels/cuda/context.h>
#include <mica/kernels/matmul.h>

namespace mica::kernels {

namespace native {

// T: float, double.
template <class T> void matmul(Cuda& cuda, const MatmulDims& d, const T* a, const T* b, const T* bias, T* c);

}  // namespace native

namespace cublas {

// By the context's cuBLAS, which is there. False where it cannot do the case; then c is undefined. T: float, double.
template <class T> bool matmul(Cuda& cuda, const MatmulDims& d, const T* a, const T* b, const T* bias, T* c);

}  // namespace cublas

}  // namespace mica::kernels
