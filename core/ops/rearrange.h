// Ops that move elements and compute nothing. Any dtype; f32 and f64 are differentiable. Each makes a new tensor: there
// are no strided views. (reshape and slice, which may share elements, are members of Tensor.)
#pragma once

#include <mica/core/tensor.h>

namespace mica {

Tensor permute(const Tensor& x, const std::vector<int>& dims);  // dimension i of the result is dims[i] of x
Tensor transpose(const Tensor& x, int dim0, int dim1);
Tensor broadcast_to(const Tensor& x, const Shape& shape);       // by the rules of NumPy

Tensor cat(const std::vector<Tensor>& tensors, int dim = 0);    // along a dimension that they have
Tensor stack(const std::vector<Tensor>& tensors, int dim = 0);  // along a new one; all of one shape

// Cuts along dim into parts of these sizes, or of one size (the last may be smaller).
std::vector<Tensor> split(const Tensor& x, const std::vector<std::int64_t>& sizes, int dim = 0);
std::vector<Tensor> split(const Tensor& x, std::int64_t size, int dim = 0);

// y[i][j][k] = x[index[i][j][k]][j][k] for dim 0, and so on; index is i64 and no larger than x in the other dimensions.
Tensor gather(const Tensor& x, int dim, const Tensor& index);

}  // namespace mica
