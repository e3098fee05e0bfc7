#include <mica/core/autograd.h>
#include <mica/core/context.h>
#include <mica/core/cuda/conv2d_chain.h>
#include <mica/core/dispatch.h>
#include <mica/core/ops/reduce.h>
#include <mica/kernels/conv2d_chain.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace mica {
namespace {

using kernels::BatchNormFactors, kernels::ChainGradient, kernels::ChainInput, kernels::ChainNormGradients, kernels::Cuda,
    kernels::NewBatchNormFactors;

// What a link leaves for backward.
struct Done {
  std::optional<kernels::Conv2dDims> convolution;
  Tensor packed;  // filters
  bool tf32 = false;
  Tensor y;        // what is normalised: the convolution's output, or the chain's input
  Tensor factors;  // 4×channels: mean, inverse_std, scale, shift
  kernels::Dropout dropout;
  bool learnt = false;  // were mean and variance the batch's own?
  std::optional<Saved> norm_weight;
  Scope::Name scope, norm_scope;

  NewBatchNormFactors<float> new_factors() const {
    float* const at = factors.data<float>();
    const std::int64_t channels = factors.size(1);
    return {at, at + channels, at + 2 * channels, at + 3 * channels};
  }
  BatchNormFactors<float> by() const {
    const auto [mean, inverse_std, scale, shift] = new_factors();
    return {mean, inverse_std, scale, shift};
  }
};

float* changed(Tensor x) {
  x.bump_version();
  return x.data<float>();
}

Tensor floats(const Tensor& like, const Shape& shape) { return Tensor::empty(shape, DType::f32, like.device()); }

// What the convolution of link `at` reads.
ChainInput input_of(const std::vector<Done>& links, std::size_t at, const Tensor& x) {
  if (at == 0) return {.x = x.data<float>()};
  const Done& before = links[at - 1];
  return {before.y.data<float>(), before.by(), before.dropout};
}

class Forward {
 public:
  // keeps: what backward needs.
  Forward(const Tensor& x, bool keeps) : cuda_(cuda_context(x.device())), x_(x.detach()), keeps_(keeps) {}

  void run(const ChainLink& link) {
    const Scope scope(link.convolves() ? link.scope : link.norm_scope);
    Done done;
    done.y = x_;
    done.scope = link.scope, done.norm_scope = link.norm_scope;
    std::optional<kernels::ChainStatistics> statistics;
    Tensor variance;
    if (link.normalizes()) {
      const std::int64_t channels = link.norm_weight.size(0);
      done.factors = floats(x_, {4, channels}), variance = floats(x_, {channels});
      done.dropout = link.norm.dropout, done.learnt = link.norm.training, done.norm_weight.emplace("conv2d_chain", link.norm_weight);
      const kernels::BatchNormParameters<float> parameters{link.norm.eps, link.norm_weight.data<float>(), link.norm_bias.data<float>()};
      if (done.learnt) statistics = {parameters, running_of(link), variance.data<float>(), done.new_factors()};
      else
        kernels::batch_norm_of_running<float>(cuda_, channels, link.running_mean.data<float>(), link.running_var.data<float>(), parameters,
                                              done.new_factors());
    }
    if (link.convolves()) {
      convolve(link, done, statistics ? &*statistics : nullptr);
    } else if (statistics) {
      const kernels::BatchNormDims d{x_.numel() / x_.size(1), x_.size(1)};
      kernels::batch_norm_of_batch<float>(cuda_, d, x_.data<float>(), statistics->parameters, statistics->running, statistics->variance,
                                          statistics->factors);
    }
    if (!keeps_ && !links.empty()) links.back().y = links.back().packed = {};
    links.push_back(std::move(done));
  }

  // Of the last link, which alone is stored as it comes out. Without a norm it is no longer kept here: it will own the graph that owns
  // this.
  Tensor output() {
    Done& last = links.back();
    if (!last.factors.defined()) return std::exchange(last.y, {});
    const Scope scope(last.norm_scope);
    Tensor out = floats(last.y, last.y.shape());
    const kernels::BatchNormDims d{out.numel() / out.size(1), out.size(1)};
    const BatchNormFactors<float> by = last.by();
    kernels::batch_norm_apply<float>(cuda_, d, last.y.data<float>(), by.scale, by.shift, {true, last.dropout}, out.data<float>());
    return out;
  }

  std::vector<Done> links;

 private:
  static kernels::RunningStatistics<float> running_of(const ChainLink& link) {
    Tensor count = link.norm.num_batches_tracked;
    if (count.defined()) count.bump_version();
    return {changed(link.running_mean), changed(link.running_var), count.defined() ? count.data<std::int64_t>() : nullptr,
            link.norm.momentum};
  }

  void convolve(const ChainLink& link, Done& done, const kernels::ChainStatistics* statistics) {
    const Tensor& input = links.empty() ? x_ : links.back().y;
    const kernels::Conv2dDims d = conv2d_dims(input.shape(), link.weight.shape(), link.options);
    done.convolution = d;
    done.packed = floats(input, {kernels::conv2d_chain_filter_floats(d)});
    done.y = floats(input, {d.n, d.o, d.oh, d.ow});
    const kernels::ChainFilters filters =
        kernels::conv2d_chain_pack_filters(cuda_, d, link.weight.data<float>(), done.packed.data<float>());
    done.tf32 = filters.tf32;
    kernels::conv2d_chain_forward(cuda_, d, input_of(links, links.size(), x_), filters, data_or_null<float>(link.bias),
                                  done.y.data<float>(), statistics);
  }

  Cuda& cuda_;
  Tensor x_;
  bool keeps_;
};

// From the last link to the first: the gradient of each one's norm, then those of its convolution.
Gradients chain_backward(const std::vector<Done>& links, const Tensor& x, const Tensor& out, const Tensor& gy, bool need_gx,
                         const std::vector<bool>& has_bias) {
  Cuda& cuda = cuda_context(gy.device());
  std::vector<std::array<Tensor, 4>> of_links(links.size());  // weight, bias, norm_weight, norm_bias
  std::vector<Tensor> slopes(links.size());
  const auto norm_gradients = [&](std::size_t i) -> ChainNormGradients {
    const std::int64_t channels = links[i].factors.size(1);
    slopes[i] = floats(gy, {3, channels});
    of_links[i][2] = floats(gy, {channels}), of_links[i][3] = floats(gy, {channels});
    if (has_bias[i]) of_links[i][1] = floats(gy, {channels});
    return {links[i].norm_weight->get().data<float>(),
            links[i].learnt,
            of_links[i][2].data<float>(),
            of_links[i][3].data<float>(),
            slopes[i].data<float>(),
            has_bias[i] ? of_links[i][1].data<float>() : nullptr};
  };
  const auto gradient_of = [&](std::size_t i, const Tensor& g) -> ChainGradient {
    if (!slopes[i].defined()) return {.g = g.data<float>()};
    return {g.data<float>(), links[i].learnt ? links[i].y.data<float>() : nullptr, links[i].by().mean, slopes[i].data<float>()};
  };

  Tensor g = gy;  // of what the link at hand gives on
  const Done& last = links.back();
  if (last.factors.defined()) {
    const Scope scope(last.norm_scope, Pass::backward);
    g = floats(gy, gy.shape());
    const ChainNormGradients norm = norm_gradients(links.size() - 1);
    kernels::conv2d_chain_reached(cuda, {gy.numel() / gy.size(1), gy.size(1)}, last.y.data<float>(), data_or_null<float>(out),
                                  gy.data<float>(), last.by(), last.dropout, g.data<float>(), norm);
  } else {
    const Scope scope(last.scope, Pass::backward);
    if (reinterpret_cast<std::uintptr_t>(gy.data<float>()) % 16 != 0) g = gy.clone();
    if (has_bias.back()) of_links.back()[1] = sum(gy, {0, 2, 3});
  }
  for (std::size_t i = links.size(); i-- > 0;) {
    const Done& link = links[i];
    const Scope scope(link.convolution ? link.scope : link.norm_scope, Pass::backward);
    if (!link.convolution) {  // the first
      Tensor gx = need_gx ? floats(gy, link.y.shape()) : Tensor();
      if (need_gx) kernels::conv2d_chain_input_gradient(cuda, {gx.numel() / gx.size(1), gx.size(1)}, gradient_of(i, g), gx.data<float>());
      g = gx;
      break;
    }
    const kernels::Conv2dDims& d = *link.convolution;
    Tensor gx = i > 0 || need_gx ? floats(gy, {d.n, d.c, d.h, d.w}) : Tensor();
    of_links[i][0] = floats(gy, {d.o, d.c, d.kh, d.kw});
    std::optional<ChainNormGradients> norm;
    if (i > 0) norm = norm_gradients(i - 1);
    kernels::conv2d_chain_backward(cuda, d, gradient_of(i, g), input_of(links, i, x), {link.packed.data<float>(), link.tf32},
                                   gx.defined() ? gx.data<float>() : nullptr, of_links[i][0].data<float>(), norm ? &*norm : nullptr);
    g = gx;
  }
  Gradients all{g};
  for (auto& of_link : of_links) all.insert(all.end(), of_link.begin(), of_link.end());
  return all;
}

}  // namespace

Tensor conv2d_chain_on_cuda(const Tensor& x, std::span<const ChainLink> links) {
  std::vector<Tensor> inputs{x};
  std::vector<bool> has_bias;
  for (const ChainLink& link : links) {
    inputs.insert(inputs.end(), {link.weight, link.bias, link.norm_weight, link.norm_bias});
    has_bias.push_back(link.bias.defined());
  }
  Forward forward(
      x, grad_enabled() && std::any_of(inputs.begin(), inputs.end(), [](const Tensor& t) { return t.defined() && t.requires_grad(); }));
  for (const ChainLink& link : links) forward.run(link);
  Tensor y = forward.output();
  const bool dropped = forward.links.back().dropout.p > 0;
  record("conv2d_chain", y, inputs,
         [links = std::make_shared<const std::vector<Done>>(std::move(forward.links)), x = Saved("conv2d_chain", x),
          out = Saved("conv2d_chain", dropped ? y : Tensor()), need_gx = x.requires_grad(),
          has_bias](const Tensor& gy) { return chain_backward(*links, x.get(), out.get(), gy, need_gx, has_bias); });
  return y;
}

}  // namespace mica
