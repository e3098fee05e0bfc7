// For tests that run kernels on a CUDA device: one of this machine, or the emulated one.
#pragma once

#include "../catch.h"
#include "../compare.h"
#include "../no_device.h"

#include <mica/core/context.h>
#include <mica/core/random.h>
#include <mica/core/tensor.h>

namespace mica::test {

inline Tensor on_cuda(const Tensor& x) { return x.to(Device::cuda()); }
inline Tensor on_cpu(const Tensor& x) { return x.to(Device::cpu()); }

// The same for the same name, whatever seed an earlier test has left.
inline Tensor noise(const Shape& shape, const char* name, DType type = DType::f32, double low = -1, double high = 2) {
  Tensor x = Tensor::empty(shape, type);
  uniform_(x, low, high, {0, random_key(name).stream, 0});
  return x;
}

}  // namespace mica::test
