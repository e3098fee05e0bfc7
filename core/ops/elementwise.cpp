#include <mica/core/autograd.h>
#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/ops/broadcast.h>
#include <mica/core/ops/elementwise.h>
#include <mica/kernels/elementwise.h>

#include <limits>

namespace mica {
namespace {

template <class F>
Tensor forward(const Broadcast& w, const Tensor& a, const Tensor& b) {
  Tensor y = Tensor::empty(w.shape, a.dtype(), a.device());
  dispatch_floating(a, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::binary_forward<F, T>(context, F{}, w.rank, w.sizes, w.a_strides, a.data<T>(), w.b_strides, b.data<T>(), y.data<T>());
  });
  return y;
}

template <class F>
Tensor binary(const char* name, const Tensor& a, const Tensor& b) {
  const Broadcast w(name, a, b);
  Tensor y = forward<F>(w, a, b);
  const bool need_ga = a.requires_grad(), need_gb = b.requires_grad();
  const auto kept = [&](const Tensor& x, bool needed) { return Saved(name, needed ? x : Tensor()); };
  record(name, y, {a, b},
         [=, a = kept(a, need_gb || F::a_for_ga), b = kept(b, need_ga || F::b_for_gb)](const Tensor& gy) -> Gradients {
           Tensor ga = need_ga ? Tensor::empty(w.shape, gy.dtype(), gy.device()) : Tensor();
           Tensor gb = need_gb ? Tensor::empty(w.shape, gy.dtype(), gy.device()) : Tensor();
           const Tensor& any = gy;  // is passed for an operand that no gradient looks at; it is as large
           const Tensor &pa = a.get().defined() ? a.get() : any, &pb = b.get().defined() ? b.get() : any;
           dispatch_floating(gy, [&](auto& context, auto t) {
             using T = decltype(t);
             kernels::binary_backward<F, T>(context, F{}, w.rank, w.sizes, w.a_strides, pa.data<T>(), w.b_strides, pb.data<T>(), false,
                                            gy.data<T>(), need_ga ? ga.data<T>() : nullptr, need_gb ? gb.data<T>() : nullptr);
           });
           return {ga, gb};
         });
  return y;
}

template <class F>
Tensor unary(const char* name, const Tensor& x, const F& f = {}) {
  require_floating(name, "the input", x);
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  dispatch_floating(x, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::unary_forward<F, T>(context, f, x.numel(), x.data<T>(), y.data<T>());
  });
  record(name, y, {x}, [f, kept = Saved(name, F::keeps == kernels::Keeps::output ? y : x)](const Tensor& gy) -> Gradients {
    Tensor gx = Tensor::empty(gy.shape(), gy.dtype(), gy.device());
    dispatch_floating(gy, [&](auto& context, auto t) {
      using T = decltype(t);
      kernels::unary_backward<F, T>(context, f, gy.numel(), kept.get().data<T>(), gy.data<T>(), gx.data<T>());
    });
    return {gx};
  });
  return y;
}

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) {
  Tensor y = forward<kernels::Add>(Broadcast("add", a, b), a, b);  // a and b are not needed for backward
  record("add", y, {a, b}, [](const Tensor& gy) -> Gradients { return {gy, gy}; });
  return y;
}
Tensor sub(const Tensor& a, const Tensor& b) {
  Tensor y = forward<kernels::Sub>(Broadcast("sub", a, b), a, b);
  record("sub", y, {a, b}, [need_gb = b.requires_grad()](const Tensor& gy) -> Gradients { return {gy, need_gb ? -gy : Tensor()}; });
  return y;
}
Tensor mul(const Tensor& a, const Tensor& b) { return binary<kernels::Mul>("mul", a, b); }
Tensor div(const Tensor& a, const Tensor& b) { return binary<kernels::Div>("div", a, b); }
Tensor pow(const Tensor& a, const Tensor& b) { return binary<kernels::Pow>("pow", a, b); }

Tensor pow(const Tensor& x, double exponent) {
  if (exponent == 2) return unary<kernels::Square>("pow", x);
  if (exponent == 3) return unary<kernels::Cube>("pow", x);
  if (exponent == 0.5) return unary<kernels::Sqrt>("pow", x);
  return unary("pow", x, kernels::PowScalar{exponent});
}

Tensor exp(const Tensor& x) { return unary<kernels::Exp>("exp", x); }
Tensor log(const Tensor& x) { return unary<kernels::Log>("log", x); }
Tensor sqrt(const Tensor& x) { return unary<kernels::Sqrt>("sqrt", x); }

Tensor clamp(const Tensor& x, std::optional<double> min, std::optional<double> max) {
  if (!min && !max) throw Error("clamp: expected min, max or both, got neither");
  constexpr double infinity = std::numeric_limits<double>::infinity();
  return unary("clamp", x, kernels::Clamp{min.value_or(-infinity), max.value_or(infinity)});
}

Tensor relu(const Tensor& x) { return unary<kernels::Relu>("relu", x); }
Tensor leaky_relu(const Tensor& x, double negative_slope) { return unary("leaky_relu", x, kernels::LeakyRelu{negative_slope}); }
Tensor sigmoid(const Tensor& x) { return unary<kernels::Sigmoid>("sigmoid", x); }
Tensor tanh(const Tensor& x) { return unary<kernels::Tanh>("tanh", x); }
Tensor gelu(const Tensor& x, GeluApproximation approximate) {
  return approximate == GeluApproximation::tanh ? unary<kernels::GeluTanh>("gelu", x) : unary<kernels::Gelu>("gelu", x);
}

}  // namespace mica
