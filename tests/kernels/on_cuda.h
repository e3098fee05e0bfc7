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

// Between −1 and 2, the same for the same name.
inline Tensor noise(const Shape& shape, const char* name, DType type = DType::f32) {
  Tensor x = Tensor::empty(shape, type);
  uniform_(x, -1, 2, random_key(name));
  return x;
}

}  // namespace mica::test
