#include <mica/core/autograd.h>
#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/ops/loss.h>
#include <mica/kernels/softmax.h>

#include <fmt/format.h>

namespace mica {

Tensor log_softmax(const Tensor& x, int dim) {
  require_floating("log_softmax", "the input", x);
  const int along = normalize_dim(dim, x.rank(), "log_softmax");
  const std::int64_t length = x.size(along), inner = strides_of(x.shape())[static_cast<std::size_t>(along)];
  const std::int64_t outer = x.numel() == 0 ? 0 : x.numel() / (length * inner);
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  dispatch_floating(x, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::log_softmax_forward<T>(context, outer, length, inner, x.data<T>(), y.data<T>());
  });
  record("log_softmax", y, {x}, [=, y = Saved("log_softmax", y)](const Tensor& gy) -> Gradients {
    Tensor gx = Tensor::empty(gy.shape(), gy.dtype(), gy.device());
    dispatch_floating(gy, [&](auto& context, auto t) {
      using T = decltype(t);
      kernels::log_softmax_backward<T>(context, outer, length, inner, y.get().data<T>(), gy.data<T>(), gx.data<T>());
    });
    return {gx};
  });
  return y;
}

namespace {

void check_targets(const char* op, const Tensor& scores, const Tensor& target) {
  require_floating(op, "the input", scores);
  if (scores.rank() != 2 || target.shape() != Shape{scores.size(0)})
    throw ShapeError(fmt::format("{}: expected an input of shape (N, classes) and a target of shape (N), got {} and {}", op,
                                 to_string(scores.shape()), to_string(target.shape())));
  if (target.dtype() != DType::i64)
    throw DTypeError(fmt::format("{}: the target is {}, expected i64; convert it with to()", op, name_of(target.dtype())));
  const std::int64_t bad =
      kernels::first_bad_target(cpu_context(), target.numel(), scores.size(1), target.data<std::int64_t>());
  if (bad < target.numel())
    throw Error(fmt::format("{}: target[{}] is {}, expected a class from 0 to {}", op, bad, target.data<std::int64_t>()[bad],
                            scores.size(1) - 1));
}

}  // namespace

Tensor nll_loss(const Tensor& y, const Tensor& target) {
  check_targets("nll_loss", y, target);
  const std::int64_t n = y.size(0), classes = y.size(1);
  Tensor loss = Tensor::empty({}, y.dtype(), y.device());
  dispatch_floating(y, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::nll_loss_forward<T>(context, n, classes, y.data<T>(), target.data<std::int64_t>(), loss.data<T>());
  });
  record("nll_loss", loss, {y}, [n, classes, target = Saved("nll_loss", target)](const Tensor& gloss) -> Gradients {
    Tensor gy = Tensor::empty({n, classes}, gloss.dtype(), gloss.device());
    dispatch_floating(gloss, [&](auto& context, auto t) {
      using T = decltype(t);
      kernels::nll_loss_backward<T>(context, n, classes, target.get().data<std::int64_t>(), gloss.data<T>(), gy.data<T>());
    });
    return {gy};
  });
  return loss;
}

std::int64_t count_correct(const Tensor& scores, const Tensor& target) {
  check_targets("count_correct", scores, target);
  std::int64_t correct = 0;
  dispatch_floating(scores, [&](auto& context, auto t) {
    using T = decltype(t);
    correct = kernels::count_correct<T>(context, scores.size(0), scores.size(1), scores.data<T>(), target.data<std::int64_t>());
  });
  return correct;
}

}  // namespace mica
