// The reverse of gather, for gradients: not recorded, and nothing is checked, since gather has checked it.
#pragma once

#include <mica/core/tensor.h>

namespace mica {

// Zeros of `shape` with source (f32 or f64, index's shape) added at the positions that gather(x, dim, index) would read.
Tensor scatter_add(const Shape& shape, int dim, const Tensor& index, const Tensor& source);

}  // namespace mica
