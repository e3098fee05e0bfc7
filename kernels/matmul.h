// Matrix product of row-major matrices, each operand optionally stored transposed. f64 is plain loops, the definition;
// f32 is oneDNN's where the build has it, unless the policy is native.
#pragma once

#include <mica/kernels/context.h>
#include <mica/kernels/dims.h>

namespace mica::kernels {

// c[m×n] = op(a)[m×k] · op(b)[k×n] + bias[n], d.batch times; bias may be null. k = 0 gives bias or 0.
void matmul(Cpu& cpu, const MatmulDims& d, const float* a, const float* b, const float* bias, float* c);
void matmul(Cuda& cuda, const MatmulDims& d, const float* a, const float* b, const float* bias, float* c);
void matmul(Cpu& cpu, const MatmulDims& d, const double* a, const double* b, const double* bias, double* c);
void matmul(Cuda& cuda, const MatmulDims& d, const double* a, const double* b, const double* bias, double* c);

}  // namespace mica::kernels
