// Reductions of f32 and f64 tensors over logical dimensions. Kernels: kernels/reduce.h.
// `dims`: each once, negative ones count from the back, none means all; they are kept as size 1 or dropped.
#pragma once

#include <mica/core/tensor.h>

#include <optional>

namespace mica {

Tensor sum(const Tensor& x);   // of all elements, a scalar
Tensor mean(const Tensor& x);  // NaN where there are none
Tensor sum(const Tensor& x, const std::vector<int>& dims, bool keepdim = false);
Tensor mean(const Tensor& x, const std::vector<int>& dims, bool keepdim = false);

// Largest and smallest values. NaN wins over numbers; no elements to choose from is an error.
Tensor amax(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);  // equals share the gradient
Tensor amin(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
Tensor max(const Tensor& x);  // of all elements; as amax, but NaNs share their gradient too
Tensor min(const Tensor& x);

struct ValuesAndIndices {
  Tensor values;
  Tensor indices;  // i64
};
ValuesAndIndices max(const Tensor& x, int dim, bool keepdim = false);  // the first of equals counts and gets the gradient
ValuesAndIndices min(const Tensor& x, int dim, bool keepdim = false);

// The index of the first largest or smallest value, i64; without dim, among all elements in logical order.
Tensor argmax(const Tensor& x, std::optional<int> dim = {}, bool keepdim = false);
Tensor argmin(const Tensor& x, std::optional<int> dim = {}, bool keepdim = false);

}  // namespace mica
