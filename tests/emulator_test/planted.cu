#include "planted.h"

#include <mica/kernels/cuda/launch.h>

namespace planted {

using mica::kernels::check;
using mica::kernels::Cuda;

namespace {

__global__ void fill_kernel(int n, float value, float* y) {
  for (int i = static_cast<int>(mica::kernels::first_item()); i < n; i += static_cast<int>(mica::kernels::item_step())) y[i] = value;
}

}  // namespace

void* PlainMemory::allocate(std::size_t bytes) {
  void* p = nullptr;
  check(cudaMalloc(&p, bytes), "cudaMalloc");
  return p;
}

void PlainMemory::free(void* pointer, std::size_t) noexcept {
  (void)cudaDeviceSynchronize();
  (void)cudaFree(pointer);
}

Bench::Bench() : cuda(0, memory, settings), array(memory, 64), d(array.get()) {}

void fill(Cuda& cuda, float* p, float value, int n) {
  launch(cuda, "fill", fill_kernel, mica::kernels::grid_for(cuda, n, 32), n, value, p);
}

std::vector<float> host(Cuda& cuda, const float* p, int n) {
  const auto count = static_cast<std::size_t>(n);
  const mica::kernels::Pinned pinned(count * sizeof(float));
  check(cudaMemcpyAsync(pinned.get(), p, count * sizeof(float), cudaMemcpyDeviceToHost, cuda.stream().get()), "cudaMemcpyAsync");
  cuda.stream().synchronize();
  const auto* const values = static_cast<const float*>(pinned.get());
  return {values, values + count};
}

}  // namespace planted
