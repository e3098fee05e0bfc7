// Reductions of f32 and f64 tensors over logical dimensions. Kernel: kernels/reduce.h.
#pragma once

#include <mica/core/tensor.h>

namespace mica {

Tensor sum(const Tensor& x);   // of all elements, a scalar
Tensor mean(const Tensor& x);  // NaN where there are none

// Over `dims` (each once, negative ones count from the back; none means all), which are kept as size 1 or dropped.
Tensor sum(const Tensor& x, const std::vector<int>& dims, bool keepdim = false);
Tensor mean(const Tensor& x, const std::vector<int>& dims, bool keepdim = false);

}  // namespace mica
