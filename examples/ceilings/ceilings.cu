// Ceilings of a GPU: a copy as wide as can be, independent multiply-adds, independent products by tensor cores, and a kernel that does nothing.
#include "ceilings_cuda.h"

#include <mica/kernels/cuda/launch.h>
#include <mica/kernels/cuda/tensor_core.h>
#include <mica/kernels/math.h>

namespace mica::bench {
namespace {

using kernels::launch;

constexpr int chains = 16, flop_threads = 1024;
constexpr int tensor_chains = 8, tensor_warps = 8, tensor_threads = 32 * tensor_warps;

__global__ void copy_kernel(std::size_t n, const float4* x, float4* y) {
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x;
  for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += step) y[i] = x[i];
}

// Results that nobody can foresee are kept, so that nothing is left out.
__global__ void multiply_add_kernel(int times, float* sink) {
  float a[chains];
  for (int c = 0; c < chains; ++c) a[c] = static_cast<float>(threadIdx.x + c);
  for (int k = 0; k < times; ++k)
#pragma unroll
    for (int c = 0; c < chains; ++c) a[c] = kernels::math::multiply_add<true>(a[c], 1.0000001F, 1e-9F);
  float sum = 0;
  for (int c = 0; c < chains; ++c) sum += a[c];
  if (sum == 12345.678F) *sink = sum;
}

// mma.m16n8k8, which our convolutions use; Hopper's wgmma, which a library may use, is faster.
__global__ void __launch_bounds__(tensor_threads) tensor_core_kernel(int times, float* sink) {
  float d[tensor_chains][4];
  for (int c = 0; c < tensor_chains; ++c)
    for (float& v : d[c]) v = static_cast<float>(threadIdx.x + c);
  const float a = 1e-3F * static_cast<float>(threadIdx.x), b = 1e-3F;
  for (int k = 0; k < times; ++k)
#pragma unroll
    for (int c = 0; c < tensor_chains; ++c) kernels::tensor_core_product(d[c], a, a, a, a, b, b);
  float sum = 0;
  for (int c = 0; c < tensor_chains; ++c)
    for (const float v : d[c]) sum += v;
  if (sum == 12345.678F) *sink = sum;
}

__global__ void nothing_kernel() {}

}  // namespace

void copy_all(Cuda& cuda, std::size_t bytes, const void* from, void* to) {
  const kernels::LaunchShape shape{dim3(static_cast<unsigned>(cuda.multiprocessors()) * 8), dim3(512)};
  launch(cuda, "copy ceiling", copy_kernel, shape, bytes / sizeof(float4), static_cast<const float4*>(from), static_cast<float4*>(to));
}

double multiply_add_all(Cuda& cuda, int times, float* sink) {
  const unsigned blocks = static_cast<unsigned>(cuda.multiprocessors()) * 2;
  launch(cuda, "multiply-add ceiling", multiply_add_kernel, {dim3(blocks), dim3(flop_threads)}, times, sink);
  return 2.0 * chains * flop_threads * blocks * times;
}

double tensor_core_all(Cuda& cuda, int times, float* sink) {
  const unsigned blocks = static_cast<unsigned>(cuda.multiprocessors()) * 4;
  launch(cuda, "tensor core ceiling", tensor_core_kernel, {dim3(blocks), dim3(tensor_threads)}, times, sink);
  constexpr double product = 2.0 * 16 * 8 * 8;
  return product * tensor_chains * tensor_warps * blocks * times;
}

void empty_kernel(Cuda& cuda) { launch(cuda, "nothing", nothing_kernel, {dim3(1), dim3(32)}); }

}  // namespace mica::bench
