// dispatch: from a tensor to the kernel overload for its device and element type.
//   dispatch(x, [&](auto& context, auto t) { using T = decltype(t); kernels::fill<T>(context, n, T(0), y.data<T>()); });
// The lambda is compiled for every backend of the build: a kernel without an overload for one of them does not link.
#pragma once

#include <mica/core/context.h>
#include <mica/core/tensor.h>

namespace mica {

// f(context) for the device that x is on.
template <class F>
void dispatch_device([[maybe_unused]] const Tensor& x, F&& f) {
#ifdef MICA_CUDA
  if (x.device().kind() == Device::Kind::cuda) return f(cuda_context(x.device()));
#endif
  f(cpu_context());
}

// f(context, T{}) for any element type.
template <class F>
void dispatch(const Tensor& x, F&& f) {
  dispatch_device(x, [&](auto& context) {
    switch (x.dtype()) {
      case DType::f32: return f(context, float{});
      case DType::f64: return f(context, double{});
      case DType::i64: return f(context, std::int64_t{});
      case DType::i32: return f(context, std::int32_t{});
      case DType::u8: return f(context, std::uint8_t{});
    }
  });
}

// f(context, T{}) for f32 and f64; the caller has checked that x is one of them.
template <class F>
void dispatch_floating(const Tensor& x, F&& f) {
  dispatch_device(x, [&](auto& context) {
    if (x.dtype() == DType::f64) return f(context, double{});
    f(context, float{});
  });
}

// Is this op of x to be done by cuDNN?
inline bool by_cudnn(const Tensor& x, kernels::LibraryOp op) {
  bool answer = false;
  dispatch_device(x, [&](auto& context) { answer = kernels::by_cudnn(context, op); });
  return answer;
}

// For kernels' arguments that may be null.
template <class T>
const T* data_or_null(const Tensor& x) {
  return x.defined() ? x.data<T>() : nullptr;
}

}  // namespace mica
