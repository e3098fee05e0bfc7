// One kernel called on the CPU and on CUDA with the same values, on sizes that the table of ops has not: of many blocks, of
// several stages.
#pragma once

#include "../no_device.h"
#include "../ops/agreement.h"

#include <mica/core/dispatch.h>
#include <mica/core/random.h>

#include <algorithm>

namespace mica::test {

// n random values in memory order; whole numbers from −3 to 3, so that sums are exact and many are equal, where `integers`.
inline Tensor random_values(std::int64_t n, DType dtype, bool integers, const char* name) {
  Tensor x = Tensor::empty({n}, DType::f64);
  uniform_(x, -3.49, 3.49, random_key(name));
  if (integers)
    for (double *v = x.data<double>(), *end = v + n; v < end; ++v) *v = std::round(*v);
  return x.to(dtype);
}

// With `count` others of value v scattered over x.
inline Tensor with_some(Tensor x, double v, std::int64_t count, const char* name) {
  Tensor wide = x.to(DType::f64);
  for (std::int64_t i = 0; i < std::min(count, x.numel()); ++i)
    wide.data<double>()[kernels::random_bits(random_key(name), static_cast<std::uint64_t>(i)) % static_cast<std::uint64_t>(x.numel())] = v;
  return wide.to(x.dtype());
}

// Of outputs of these sizes and types, on the host. f(context, inputs, outputs) calls the kernel.
struct Output {
  std::int64_t n;
  DType dtype;
};
template <class F>
std::vector<Tensor> run_kernel(Device device, const std::vector<Tensor>& inputs, const std::vector<Output>& outputs, const F& f) {
  std::vector<Tensor> in, out;
  for (const Tensor& x : inputs) in.push_back(x.defined() ? x.to(device) : x);
  for (const Output& y : outputs) out.push_back(Tensor::empty({y.n}, y.dtype, device));
  dispatch_device(out[0], [&](auto& context) { f(context, in, out); });
  for (Tensor& y : out) y = y.to(Device());
  return out;
}

// The largest difference of any output, where NaN equals NaN.
template <class F>
double backends_differ(const std::vector<Tensor>& inputs, const std::vector<Output>& outputs, const F& f) {
  const std::vector<Tensor> want = run_kernel(Device(), inputs, outputs, f), got = run_kernel(Device::cuda(), inputs, outputs, f);
  double most = 0;
  for (std::size_t i = 0; i < want.size(); ++i) most = std::max(most, difference_with_specials(got[i], want[i]));
  return most;
}

// Null for a tensor that is not given.
template <class T> T* at(const std::vector<Tensor>& tensors, std::size_t i) { return tensors[i].defined() ? tensors[i].data<T>() : nullptr; }

// f(T{}, its DType, what two orders of rounding may differ by) for f32 and f64.
template <class F>
void for_each_floating(const F& f) {
  f(float{}, DType::f32, 2e-6);
  f(double{}, DType::f64, 1e-13);
}

}  // namespace mica::test
