#include <mica/core/autograd.h>
#include <mica/core/dispatch.h>
#include <mica/core/ops/elementwise.h>
#include <mica/core/walk.h>
#include <mica/kernels/elementwise.h>

namespace mica {
namespace {

template <class F>
Tensor binary(const char* name, const Tensor& a, const Tensor& b) {
  require_floating(name, "the first argument", a);
  require_same_type(name, a, b);
  const Shape shape = broadcast(a.shape(), b.shape(), name);
  const kernels::Sizes sizes = in_memory_order(shape);
  const kernels::Sizes a_strides = in_memory_order(broadcast_strides(a.shape(), shape));
  const kernels::Sizes b_strides = in_memory_order(broadcast_strides(b.shape(), shape));
  const int rank = static_cast<int>(shape.size());
  Tensor y = Tensor::empty(shape, a.dtype(), a.device());
  dispatch_floating(a, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::binary_forward<F, T>(context, rank, sizes, a_strides, a.data<T>(), b_strides, b.data<T>(), y.data<T>());
  });
  record(name, y, {a, b},
         [=, a = Saved(name, a), b = Saved(name, b), need_ga = a.requires_grad(),
          need_gb = b.requires_grad()](const Tensor& gy) -> Gradients {
           Tensor ga = need_ga ? Tensor::empty(shape, gy.dtype(), gy.device()) : Tensor();
           Tensor gb = need_gb ? Tensor::empty(shape, gy.dtype(), gy.device()) : Tensor();
           dispatch_floating(gy, [&](auto& context, auto t) {
             using T = decltype(t);
             kernels::binary_backward<F, T>(context, rank, sizes, a_strides, a.get().data<T>(), b_strides, b.get().data<T>(),
                                            gy.data<T>(), need_ga ? ga.data<T>() : nullptr,
                                            need_gb ? gb.data<T>() : nullptr);
           });
           return {ga, gb};
         });
  return y;
}

template <class F>
Tensor unary(const char* name, const Tensor& x) {
  require_floating(name, "the input", x);
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  dispatch_floating(x, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::unary_forward<F, T>(context, x.numel(), x.data<T>(), y.data<T>());
  });
  record(name, y, {x}, [y = Saved(name, y)](const Tensor& gy) -> Gradients {
    Tensor gx = Tensor::empty(gy.shape(), gy.dtype(), gy.device());
    dispatch_floating(gy, [&](auto& context, auto t) {
      using T = decltype(t);
      kernels::unary_backward<F, T>(context, gy.numel(), y.get().data<T>(), gy.data<T>(), gx.data<T>());
    });
    return {gx};
  });
  return y;
}

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) { return binary<kernels::Add>("add", a, b); }
Tensor sub(const Tensor& a, const Tensor& b) { return binary<kernels::Sub>("sub", a, b); }
Tensor mul(const Tensor& a, const Tensor& b) { return binary<kernels::Mul>("mul", a, b); }
Tensor div(const Tensor& a, const Tensor& b) { return binary<kernels::Div>("div", a, b); }
Tensor relu(const Tensor& x) { return unary<kernels::Relu>("relu", x); }

}  // namespace mica
