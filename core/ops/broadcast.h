// What elementwise ops on two tensors share: the shape they broadcast to, and how kernels walk it.
#pragma once

#include <mica/core/walk.h>
#include <mica/core/tensor.h>

namespace mica {

struct Broadcast {
  Shape shape;
  int rank;
  kernels::Sizes sizes, a_strides, b_strides;  // in memory order of the result

  // Throws ShapeError or DTypeError that begins with op.
  Broadcast(const char* op, const Tensor& a, const Tensor& b) {
    require_floating(op, "the first argument", a);
    require_same_type(op, a, b);
    shape = broadcast(a.shape(), b.shape(), op);
    rank = static_cast<int>(shape.size());
    sizes = in_memory_order(shape);
    a_strides = in_memory_order(broadcast_strides(a.shape(), shape));
    b_strides = in_memory_order(broadcast_strides(b.shape(), shape));
  }
};

}  // namespace mica
