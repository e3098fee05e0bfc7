#include <mica/core/autograd.h>
#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/ops/broadcast.h>
#include <mica/core/ops/elementwise.h>
#include <mica/core/ops/reduce.h>
#include <mica/core/ops/regression_loss.h>
#include <mica/kernels/elementwise.h>

#include <fmt/format.h>

namespace mica {
namespace {

template <class F>
Tensor loss(const char* name, const F& f, const Tensor& a, const Tensor& b, Reduction reduction) {
  const Broadcast w(name, a, b);
  Tensor y = Tensor::empty(w.shape, a.dtype(), a.device());
  dispatch_floating(a, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::binary_forward<F, T>(context, f, w.rank, w.sizes, w.a_strides, a.data<T>(), w.b_strides, b.data<T>(), y.data<T>());
  });
  const bool single = reduction == Reduction::none;
  const double scale = reduction == Reduction::mean ? 1 / static_cast<double>(y.numel()) : 1;
  if (!single) y = reduction == Reduction::mean ? mean(y) : sum(y);
  record(name, y, {a, b},
         [=, a = Saved(name, a), b = Saved(name, b), need_ga = a.requires_grad(),
          need_gb = b.requires_grad()](const Tensor& gloss) -> Gradients {
           const Tensor gy = scale == 1 ? gloss : gloss * scale;  // one value for all, unless single
           Tensor ga = need_ga ? Tensor::empty(w.shape, gy.dtype(), gy.device()) : Tensor();
           Tensor gb = need_gb ? Tensor::empty(w.shape, gy.dtype(), gy.device()) : Tensor();
           dispatch_floating(gy, [&](auto& context, auto t) {
             using T = decltype(t);
             kernels::binary_backward<F, T>(context, f, w.rank, w.sizes, w.a_strides, a.get().data<T>(), w.b_strides,
                                            b.get().data<T>(), !single, gy.data<T>(), need_ga ? ga.data<T>() : nullptr,
                                            need_gb ? gb.data<T>() : nullptr);
           });
           return {ga, gb};
         });
  return y;
}

}  // namespace

Tensor mse_loss(const Tensor& input, const Tensor& target, Reduction reduction) {
  return loss("mse_loss", kernels::SquaredError{}, input, target, reduction);
}
Tensor l1_loss(const Tensor& input, const Tensor& target, Reduction reduction) {
  return loss("l1_loss", kernels::AbsoluteError{}, input, target, reduction);
}
Tensor huber_loss(const Tensor& input, const Tensor& target, double delta, Reduction reduction) {
  if (!(delta > 0)) throw Error(fmt::format("huber_loss: expected a delta above 0, got {}", delta));
  return loss("huber_loss", kernels::Huber{delta}, input, target, reduction);
}

}  // namespace mica
