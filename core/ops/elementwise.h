// Elementwise ops on f32 and f64 tensors of one dtype and device. Binary ones broadcast as in NumPy and PyTorch.
// Kernel: kernels/elementwise.h, formulas: kernels/functors.h.
#pragma once

#include <mica/core/tensor.h>

namespace mica {

Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);
Tensor relu(const Tensor& x);  // max(x, 0); the gradient at 0 is 0

inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator*(const Tensor& a, double b) { return mul(a, Tensor::full({}, b, a.dtype(), a.device())); }

}  // namespace mica
