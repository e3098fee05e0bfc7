// The matrix product of two f32 or f64 tensors, with torch.matmul's meaning:
//   (k) · (k) → scalar        (k) · (k, n) → (n)        (m, k) · (k) → (m)        (m, k) · (k, n) → (m, n)
//   (…, m, k) · (…, k, n) → (…, m, n), where the leading dimensions, the batch, broadcast.
// Kernel: kernels/matmul.h. A batch of rank 4 is copied into logical order first; rank 3 lies in it already.
#pragma once

#include <mica/core/tensor.h>

namespace mica {

Tensor matmul(const Tensor& a, const Tensor& b);

}  // namespace mica
