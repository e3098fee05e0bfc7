#include <mica/core/autograd.h>
#include <mica/core/error.h>
#include <mica/core/ops/matmul.h>
#include <mica/core/ops/product.h>
#include <mica/core/ops/rearrange.h>

#include <fmt/format.h>

namespace mica {
namespace {

// Of two matrices, or of two batches of as many matrices.
Tensor plain_matmul(const Tensor& a, const Tensor& b) {
  const std::int64_t batch = a.rank() == 3 ? a.size(0) : 1, m = a.size(-2), k = a.size(-1), n = b.size(-1);
  Tensor y = product({m, n, k, false, false, batch}, a, b);
  record("matmul", y, {a, b},
         [=, a = Saved("matmul", a), b = Saved("matmul", b), need_ga = a.requires_grad(),
          need_gb = b.requires_grad()](const Tensor& gy) -> Gradients {
           return {need_ga ? product({m, k, n, false, true, batch}, gy, b.get()) : Tensor(),
                   need_gb ? product({k, n, m, true, false, batch}, a.get(), gy) : Tensor()};
         });
  return y;
}

Shape joined(Shape batch, std::int64_t rows, std::int64_t columns) {
  batch.push_back(rows);
  batch.push_back(columns);
  return batch;
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b) {
  require_floating("matmul", "the first argument", a);
  require_same_type("matmul", a, b);
  if (a.rank() == 0 || b.rank() == 0)
    throw ShapeError(fmt::format("matmul: expected tensors of rank 1 or more, got {} and {}; multiply by a scalar with mul", to_string(a.shape()),
                                 to_string(b.shape())));
  if (a.size(-1) != b.size(b.rank() == 1 ? 0 : -2))
    throw ShapeError(fmt::format("matmul: expected the first's last dimension to equal the second's {}, got {} and {}",
                                 b.rank() == 1 ? "only one" : "last but one", to_string(a.shape()), to_string(b.shape())));
  if (a.rank() == 1) {  // a row, whose dimension the result drops
    Shape shape = b.shape();
    shape.erase(shape.end() - (b.rank() == 1 ? 1 : 2));
    return matmul(a.reshape({1, a.size(0)}), b).reshape(shape);
  }
  Shape shape = a.shape();
  if (b.rank() <= 2) {  // one matrix for every row of a
    const std::int64_t k = a.size(-1), rows = k == 0 ? numel(Shape(shape.begin(), shape.end() - 1)) : a.numel() / k;
    shape.pop_back();
    if (b.rank() == 2) shape.push_back(b.size(1));
    return plain_matmul(a.reshape({rows, k}), b.reshape({k, b.rank() == 2 ? b.size(1) : 1})).reshape(shape);
  }
  const std::string op = fmt::format("matmul of the batches of {} and {}", to_string(a.shape()), to_string(b.shape()));
  const Shape batch = broadcast(Shape(shape.begin(), shape.end() - 2), Shape(b.shape().begin(), b.shape().end() - 2), op.c_str());
  const std::int64_t count = numel(batch), m = a.size(-2), k = a.size(-1), n = b.size(-1);
  const Tensor each_a = broadcast_to(a, joined(batch, m, k)).reshape({count, m, k});
  const Tensor each_b = broadcast_to(b, joined(batch, k, n)).reshape({count, k, n});
  return plain_matmul(each_a, each_b).reshape(joined(batch, m, n));
}

}  // namespace mica
