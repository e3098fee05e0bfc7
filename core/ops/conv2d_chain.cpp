#ifdef MICA_CUDA
#include <mica/core/cuda/conv2d_chain.h>
#endif
#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/ops/conv2d_chain.h>
#include <mica/kernels/conv2d_chain.h>

#include <algorithm>
#include <cstdint>

namespace mica {
namespace {

kernels::Conv2dDims dims_of(const Shape& x, const ChainLink& link) { return conv2d_dims(x, link.weight.shape(), link.options); }

bool aligned(const Tensor& x) { return reinterpret_cast<std::uintptr_t>(x.data<float>()) % 16 == 0; }

// What the ops one by one would refuse, or need not: their texts are better.
bool fits(const Tensor& x, const Tensor& tensor, const Shape& shape, bool may_be_undefined = false) {
  if (!tensor.defined()) return may_be_undefined;
  return tensor.dtype() == DType::f32 && tensor.device() == x.device() && tensor.shape() == shape && aligned(tensor);
}

bool norm_fits(const Tensor& x, const Shape& shape, const ChainLink& link) {
  const Shape channels{shape[1]};
  const bool learns = link.norm.training;
  const Tensor& count = link.norm.num_batches_tracked;
  if (learns && shape[0] * shape[2] * shape[3] < 2) return false;
  if (learns && count.defined() && (count.dtype() != DType::i64 || count.numel() != 1 || !(count.device() == x.device()))) return false;
  if (learns && !link.norm.momentum && !count.defined()) return false;
  return link.norm.relu && fits(x, link.norm_weight, channels) && fits(x, link.norm_bias, channels) &&
         fits(x, link.running_mean, channels) && fits(x, link.running_var, channels);
}

bool convolution_fits(const Tensor& x, const Shape& shape, const ChainLink& link) {
  if (link.weight.rank() != 4 || link.weight.size(1) != shape[1] || !fits(x, link.weight, link.weight.shape())) return false;
  const Conv2dOptions& o = link.options;
  if (!fits(x, link.bias, {link.weight.size(0)}, true) || std::min({o.stride[0], o.stride[1], o.dilation[0], o.dilation[1], o.groups}) < 1)
    return false;
  const kernels::Conv2dDims d = dims_of(shape, link);
  bool applies = false;
  dispatch_device(x, [&](auto& context) { applies = d.oh > 0 && d.ow > 0 && kernels::conv2d_chain_applies(context, d); });
  return applies;
}

}  // namespace

std::size_t chainable(const Tensor& x, std::span<const ChainLink> links) {
  if (x.rank() != 4 || x.numel() == 0 || !fits(x, x, x.shape())) return 0;
  Shape shape = x.shape();
  std::size_t taken = 0;
  bool fused = false;  // does a convolution stand beside a norm?
  for (const ChainLink& link : links) {
    if (link.convolves() ? !convolution_fits(x, shape, link) : taken > 0) break;
    if (link.convolves()) {
      const kernels::Conv2dDims d = dims_of(shape, link);
      shape = {d.n, d.o, d.oh, d.ow};
    }
    if (link.normalizes() && !norm_fits(x, shape, link)) break;
    fused = fused || (link.convolves() && (link.normalizes() || taken > 0));
    ++taken;
    if (!link.normalizes()) break;
  }
  return fused ? taken : 0;
}

Tensor conv2d_chain(const Tensor& x, std::span<const ChainLink> links) {
  if (links.empty() || chainable(x, links) != links.size()) throw Error("conv2d_chain: expected links that chainable() has accepted");
#ifdef MICA_CUDA
  return conv2d_chain_on_cuda(x, links);
#else
  return x;  // not reached: nothing is chainable on the CPU
#endif
}

}  // namespace mica
