// dispatch: from a tensor to the kernel overload for its device and element type.
//   dispatch(x, [&](auto& context, auto t) { using T = decltype(t); kernels::fill<T>(context, n, T(0), y.data<T>()); });
// A second backend is one more case here, and in every kernel header one more overload: a forgotten one does not link.
#pragma once

#include <mica/core/context.h>
#include <mica/core/tensor.h>

namespace mica {

// f(context, T{}) for any element type.
template <class F>
void dispatch(const Tensor& x, F&& f) {
  kernels::Cpu& context = cpu_context();
  switch (x.dtype()) {
    case DType::f32: return f(context, float{});
    case DType::f64: return f(context, double{});
    case DType::i64: return f(context, std::int64_t{});
    case DType::i32: return f(context, std::int32_t{});
    case DType::u8: return f(context, std::uint8_t{});
  }
}

// f(context, T{}) for f32 and f64; the caller has checked that x is one of them.
template <class F>
void dispatch_floating(const Tensor& x, F&& f) {
  kernels::Cpu& context = cpu_context();
  if (x.dtype() == DType::f64) return f(context, double{});
  f(context, float{});
}

// For kernels' arguments that may be null.
template <class T>
const T* data_or_null(const Tensor& x) {
  return x.defined() ? x.data<T>() : nullptr;
}

}  // namespace mica
