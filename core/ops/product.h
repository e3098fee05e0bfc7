// The matrix product that matmul and linear share: shapes are checked, and nothing is recorded.
#pragma once

#include <mica/core/dispatch.h>
#include <mica/kernels/matmul.h>

namespace mica {

// op(a) · op(b) + bias: m×n, or batch×m×n where a and b have a first dimension for the batch.
inline Tensor product(const kernels::MatmulDims& d, const Tensor& a, const Tensor& b, const Tensor& bias = {}) {
  Tensor c = Tensor::empty(a.rank() == 3 ? Shape{d.batch, d.m, d.n} : Shape{d.m, d.n}, a.dtype(), a.device());
  dispatch_floating(a, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::matmul(context, d, a.data<T>(), b.data<T>(), data_or_null<T>(bias), c.data<T>());
  });
  return c;
}

}  // namespace mica
