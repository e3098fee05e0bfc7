#include <mica/core/autograd.h>
#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/ops/batch_norm.h>
#include <mica/core/ops/dropout.h>
#include <mica/core/ops/elementwise.h>
#include <mica/kernels/batch_norm.h>

#include <fmt/format.h>

namespace mica {
namespace {

void check(const Tensor& x, const std::array<const Tensor*, 4>& per_channel, bool from_batch) {
  require_floating("batch_norm", "the input", x);
  if (x.rank() < 2)
    throw ShapeError(fmt::format("batch_norm: expected an input of shape (N, C) or (N, C, …), got {}", to_string(x.shape())));
  const std::int64_t channels = x.size(1), rows = channels == 0 ? 0 : x.numel() / channels;
  constexpr const char* names[] = {"weight", "bias", "running_mean", "running_var"};
  for (std::size_t i = 0; i < per_channel.size(); ++i) {
    const Tensor& t = *per_channel[i];
    if (!t.defined()) continue;
    require_same_type("batch_norm", x, t);
    if (t.shape() != Shape{channels})
      throw ShapeError(fmt::format("batch_norm: expected {} of shape {}, one for each channel, got {} (input {})", names[i],
                                   channels, to_string(t.shape()), to_string(x.shape())));
  }
  if (from_batch && rows == 1)
    throw ShapeError(fmt::format("batch_norm: expected more than one value per channel in training, got input {}; use a larger "
                                 "batch, or eval()",
                                 to_string(x.shape())));
}

// PyTorch's count of batches, on x's device, since the kernel that learns running statistics advances it there.
void check_count(const Tensor& x, bool learns, const BatchNormOptions& options) {
  const Tensor& count = options.num_batches_tracked;
  if (!count.defined()) {
    if (learns && !options.momentum) throw Error("batch_norm: the average of all batches needs num_batches_tracked; give it, or a momentum");
    return;
  }
  require_same_device("batch_norm", x, count);
  if (count.dtype() != DType::i64 || count.numel() != 1)
    throw Error(fmt::format("batch_norm: expected num_batches_tracked to be one i64, got {} of shape {}", name_of(count.dtype()), to_string(count.shape())));
}

template <class T>
T* changed(const Tensor& x) {
  if (!x.defined()) return nullptr;
  x.bump_version();
  return x.data<T>();
}

// Channels last in memory, as the kernel takes them: rank 2 or 4, and all arguments checked.
Tensor normalize(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor running_mean, Tensor running_var, const BatchNormOptions& options,
                 bool from_batch) {
  const kernels::BatchNormDims d{x.size(1) == 0 ? 0 : x.numel() / x.size(1), x.size(1)};
  kernels::Epilogue epilogue{options.relu, options.dropout};
  const auto per_channel = [&] { return Tensor::empty({d.channels}, x.dtype(), x.device()); };
  Tensor mean = per_channel(), inverse_std = per_channel(), scale = per_channel(), shift = per_channel(), y = Tensor::empty(x.shape(), x.dtype(), x.device());
  dispatch_floating(x, [&](auto& context, auto t) {
    using T = decltype(t);
    const kernels::BatchNormParameters<T> parameters{options.eps, weight.data<T>(), bias.data<T>()};
    const kernels::NewBatchNormFactors<T> factors{mean.data<T>(), inverse_std.data<T>(), scale.data<T>(), shift.data<T>()};
    const kernels::RunningStatistics<T> running =
        from_batch ? kernels::RunningStatistics<T>{changed<T>(running_mean), changed<T>(running_var), changed<std::int64_t>(options.num_batches_tracked), options.momentum}
                   : kernels::RunningStatistics<T>{running_mean.data<T>(), running_var.data<T>(), nullptr, {}};
    if (!from_batch) kernels::batch_norm_of_running<T>(context, d.channels, running.mean, running.variance, parameters, factors);
    if (!epilogue.relu && kernels::batch_norm_by_cudnn<T>(context, d, x.data<T>(), parameters, running, from_batch, factors, y.data<T>())) return;
    if (from_batch) kernels::batch_norm_of_batch<T>(context, d, x.data<T>(), parameters, running, per_channel().template data<T>(), factors);
    kernels::batch_norm_apply<T>(context, d, x.data<T>(), scale.data<T>(), shift.data<T>(), epilogue, y.data<T>());
  });
  const Saved kept_y = epilogue.dropout.p > 0 ? Saved("batch_norm", y) : Saved("batch_norm", Tensor());
  record("batch_norm", y, {x, weight, bias},
         [=, x = Saved("batch_norm", x), weight = Saved("batch_norm", weight), need_gx = x.requires_grad(),
          eps = options.eps](const Tensor& gy) -> Gradients {
           Tensor gx = need_gx ? Tensor::empty(gy.shape(), gy.dtype(), gy.device()) : Tensor();
           Tensor gw = Tensor::empty({d.channels}, gy.dtype(), gy.device());
           Tensor gb = Tensor::empty({d.channels}, gy.dtype(), gy.device());
           dispatch_floating(gy, [&](auto& context, auto t) {
             using T = decltype(t);
             const kernels::BatchNormFactors<T> factors{mean.data<T>(), inverse_std.data<T>(), scale.data<T>(), shift.data<T>()};
             const T *from = x.get().data<T>(), *w = weight.get().data<T>();
             T* const to = need_gx ? gx.data<T>() : nullptr;
             if (from_batch && !epilogue.relu &&
                 kernels::batch_norm_backward_by_cudnn<T>(context, d, from, gy.data<T>(), eps, factors, w, to, gw.data<T>(), gb.data<T>())) return;
             kernels::batch_norm_backward<T>(context, d, from, epilogue.dropout.p > 0 ? kept_y.get().data<T>() : nullptr, gy.data<T>(), factors, w,
                                             from_batch, epilogue, to, gw.data<T>(), gb.data<T>());
           });
           return {gx, gw, gb};
         });
  return y;
}

// What cuDNN does of them, it does alone: ReLU and dropout then follow as ops of their own, with the same result.
Tensor normalize_with_epilogue(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean, const Tensor& running_var,
                               const BatchNormOptions& options) {
  const bool alone = options.relu && by_cudnn(x, kernels::LibraryOp::batch_norm), dropped = options.dropout.p > 0;
  const bool dropped_apart = dropped && (alone || by_cudnn(x, kernels::LibraryOp::dropout));
  BatchNormOptions fused = options;
  fused.relu = options.relu && !alone;
  if (dropped_apart) fused.dropout = {};
  Tensor y = normalize(x, weight, bias, running_mean, running_var, fused, options.training);
  if (alone) y = relu(y);
  return dropped_apart ? dropout(y, options.dropout.p, true, options.dropout.key) : y;
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor running_mean, Tensor running_var,
                  const BatchNormOptions& options) {
  const bool from_batch = options.training;
  check(x, {&weight, &bias, &running_mean, &running_var}, from_batch);
  if (running_mean.defined() != running_var.defined())
    throw Error(fmt::format("batch_norm: expected both running_mean and running_var, or neither, got only {}",
                            running_mean.defined() ? "running_mean" : "running_var"));
  if (options.dropout.p > 0 && !options.relu) throw Error("batch_norm: fused dropout needs a fused relu");
  if (from_batch) check_count(x, running_mean.defined(), options);
  if (!from_batch && !running_mean.defined()) throw Error("batch_norm: evaluation needs running_mean and running_var; give them, or train");
  const auto given_or = [&](const Tensor& t, double value) { return t.defined() ? t : Tensor::full({x.size(1)}, value, x.dtype(), x.device()); };
  if (x.numel() == 0) {  // nothing to normalise, and no statistics to learn; the batch counts
    Tensor count = options.num_batches_tracked;
    if (from_batch && count.defined()) count.copy_(count.to(DType::f64) + 1);  // where it is
    Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
    const Shape channels{x.size(1)};
    record("batch_norm", y, {x, weight, bias}, [channels](const Tensor& gy) -> Gradients {
      const auto zeros = [&](const Shape& shape) { return Tensor::zeros(shape, gy.dtype(), gy.device()); };
      return {zeros(gy.shape()), zeros(channels), zeros(channels)};
    });
    return y;
  }
  const bool moves = x.rank() != 2 && x.rank() != 4;
  const std::int64_t pixels = x.size(0) * x.size(1) == 0 ? 0 : x.numel() / (x.size(0) * x.size(1));
  const Tensor image = moves ? x.reshape({x.size(0), x.size(1), pixels, 1}) : x;
  const Tensor y = normalize_with_epilogue(image, given_or(weight, 1), given_or(bias, 0), running_mean, running_var, options);
  return moves ? y.reshape(x.shape()) : y;
}

}  // namespace mica
