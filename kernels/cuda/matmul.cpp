// Which implementation of a matrix product runs: our own tiles, or cuBLAS.
#include <mica/kernels/cuda/matmul.h>

namespace mica::kernels {
namespace {

// automatic is our own: not yet measured on hardware.
bool wants_library(const Cuda& cuda, const MatmulDims& d) {
  const bool empty = d.batch * d.m * d.n * d.k == 0;  // cuBLAS's answer to k = 0 is not defined
  return !empty && cuda.settings().policy(LibraryOp::matmul) == Policy::library;
}

template <class T>
void matmul_any(Cuda& cuda, const MatmulDims& d, const T* a, const T* b, const T* bias, T* c) {
  if (wants_library(cuda, d) && cuda.cublas() &&
      cuda.by_library(cuda.with_more_memory([&] { return cublas::matmul(cuda, d, a, b, bias, c); })))
    return;
  native::matmul(cuda, d, a, b, bias, c);
}

}  // namespace

void matmul(Cuda& cuda, const MatmulDims& d, const float* a, const float* b, const float* bias, float* c) {
  matmul_any(cuda, d, a, b, bias, c);
}
void matmul(Cuda& cuda, const MatmulDims& d, const double* a, const double* b, const double* bias, double* c) {
  matmul_any(cuda, d, a, b, bias, c);
}

}  // namespace mica::kernels
