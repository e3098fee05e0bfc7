// Elementwise ops on f32 and f64 tensors of one dtype and device. Binary ones broadcast as in NumPy and PyTorch; there is
// no promotion from one dtype to another. Formulas, and what happens at kinks: kernels/functors.h.
#pragma once

#include <mica/core/tensor.h>

#include <optional>

namespace mica {

Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);
Tensor pow(const Tensor& a, const Tensor& b);        // a^b
Tensor pow(const Tensor& x, double exponent);

Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);   // natural
Tensor sqrt(const Tensor& x);
Tensor clamp(const Tensor& x, std::optional<double> min, std::optional<double> max);  // one of them at least

Tensor relu(const Tensor& x);
Tensor leaky_relu(const Tensor& x, double negative_slope = 0.01);
Tensor sigmoid(const Tensor& x);
Tensor tanh(const Tensor& x);
enum class GeluApproximation { none, tanh };
Tensor gelu(const Tensor& x, GeluApproximation approximate = GeluApproximation::none);

inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }

// With a number, which takes the tensor's dtype.
inline Tensor scalar_like(double value, const Tensor& x) { return Tensor::full({}, value, x.dtype(), x.device()); }
inline Tensor operator+(const Tensor& a, double b) { return add(a, scalar_like(b, a)); }
inline Tensor operator-(const Tensor& a, double b) { return sub(a, scalar_like(b, a)); }
inline Tensor operator*(const Tensor& a, double b) { return mul(a, scalar_like(b, a)); }
inline Tensor operator/(const Tensor& a, double b) { return div(a, scalar_like(b, a)); }
inline Tensor operator+(double a, const Tensor& b) { return add(scalar_like(a, b), b); }
inline Tensor operator-(double a, const Tensor& b) { return sub(scalar_like(a, b), b); }
inline Tensor operator*(double a, const Tensor& b) { return mul(scalar_like(a, b), b); }
inline Tensor operator/(double a, const Tensor& b) { return div(scalar_like(a, b), b); }
inline Tensor operator-(const Tensor& x) { return mul(x, scalar_like(-1, x)); }

}  // namespace mica
