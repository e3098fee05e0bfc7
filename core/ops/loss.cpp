#include <mica/core/autograd.h>
#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/ops/elementwise.h>
#include <mica/core/ops/loss.h>
#include <mica/kernels/answers.h>
#include <mica/core/ops/reduce.h>
#include <mica/core/range.h>
#include <mica/kernels/cross_entropy.h>

#include <fmt/format.h>

namespace mica {
namespace {

int class_dim(const Tensor& scores) { return scores.rank() == 1 ? 0 : 1; }

// Checks all, and tells how scores lie in memory.
kernels::NllDims check(const char* op, const Tensor& scores, const Tensor& target, const Tensor& weight, std::int64_t ignore_index) {
  require_floating(op, "the input", scores);
  if (target.dtype() != DType::i64)
    throw DTypeError(fmt::format("{}: the target is {}, expected i64; convert it with to()", op, name_of(target.dtype())));
  Shape expected = scores.shape();
  if (!expected.empty()) expected.erase(expected.begin() + class_dim(scores));
  if (scores.rank() == 0 || target.shape() != expected)
    throw ShapeError(fmt::format("{}: expected an input of shape (N, classes, …) or (classes) and a target of shape (N, …) or a scalar, got {} and {}",
                                 op, to_string(scores.shape()), to_string(target.shape())));
  const std::int64_t classes = scores.size(class_dim(scores));
  if (weight.defined()) {
    require_same_type(op, scores, weight);
    if (weight.shape() != Shape{classes})
      throw ShapeError(fmt::format("{}: expected a weight of shape {}, one for each class, got {}", op, classes, to_string(weight.shape())));
  }
  const std::int64_t n = target.numel();
  require_same_device(op, scores, target);
  require_in_range(target, classes, ignore_index, [=, op = std::string(op)](std::int64_t position, std::int64_t value) {
    return fmt::format("{}: target[{}] is {}, expected a class from 0 to {} or ignore_index {}", op, position, value, classes - 1, ignore_index);
  });
  const std::int64_t inner = scores.rank() < 3 ? 1 : strides_of(scores.shape())[1];
  return {inner == 0 ? 0 : n / inner, classes, inner, ignore_index, Reduction::mean};
}

// What forward fills in for backward: Σ weight[target], for the mean alone.
Tensor total_weight_for(const kernels::NllDims& d, const Tensor& scores) {
  return d.reduction == Reduction::mean ? Tensor::empty({}, DType::f64, scores.device()) : Tensor();
}
double* writable_or_null(const Tensor& total_weight) { return total_weight.defined() ? total_weight.data<double>() : nullptr; }

// In logical order, as the positions of scores are.
Tensor flat(const Tensor& target) { return target.reshape({target.numel()}); }

Tensor empty_loss(const kernels::NllDims& d, const Tensor& scores, const Tensor& flat_target) {
  return Tensor::empty(d.reduction == Reduction::none ? flat_target.shape() : Shape{}, scores.dtype(), scores.device());
}

// Of classes. The values of lines that backward needs are as many as there are targets.
Tensor cross_entropy_of_classes(const Tensor& scores, const Tensor& target, const Tensor& weight, const kernels::NllDims& d, double smoothing) {
  const char* op = "cross_entropy";
  const Tensor t = flat(target);
  Tensor loss = empty_loss(d, scores, t), total_weight = total_weight_for(d, scores), kept = Tensor::empty({2, t.numel()}, scores.dtype(), scores.device());
  dispatch_floating(scores, [&](auto& context, auto type) {
    using T = decltype(type);
    kernels::cross_entropy_forward<T>(context, {d, smoothing, scores.data<T>(), t.data<std::int64_t>(), data_or_null<T>(weight)}, kept.data<T>(),
                                      writable_or_null(total_weight), loss.data<T>());
  });
  record(op, loss, {scores}, [d, smoothing, kept, total_weight, scores = Saved(op, scores), t = Saved(op, t), weight = Saved(op, weight)](const Tensor& gloss) -> Gradients {
    const Tensor& x = scores.get();
    Tensor gx = Tensor::empty(x.shape(), x.dtype(), x.device());
    dispatch_floating(x, [&](auto& context, auto type) {
      using T = decltype(type);
      kernels::cross_entropy_backward<T>(context, {d, smoothing, x.data<T>(), t.get().data<std::int64_t>(), data_or_null<T>(weight.get())},
                                         kept.data<T>(), data_or_null<double>(total_weight), gloss.data<T>(), gx.data<T>());
    });
    return {gx};
  });
  return d.reduction == Reduction::none ? loss.reshape(target.shape()) : loss;
}

// −Σ_c p[c]·w[c]·log softmax(scores)[c] for a target of probabilities p, smoothed.
Tensor cross_entropy_of_probabilities(const Tensor& scores, const Tensor& target, const CrossEntropyOptions& o) {
  require_floating("cross_entropy", "the target of probabilities", target);
  require_same_type("cross_entropy", scores, target);
  if (o.ignore_index >= 0)
    throw Error(fmt::format("cross_entropy: a target of probabilities has no class to ignore, got ignore_index {}; leave it out", o.ignore_index));
  const int dim = class_dim(scores);
  const double classes = static_cast<double>(scores.size(dim));
  Tensor weighted = log_softmax(scores, dim);
  if (o.weight.defined()) {
    require_same_type("cross_entropy", scores, o.weight);
    if (o.weight.shape() != Shape{scores.size(dim)})
      throw ShapeError(fmt::format("cross_entropy: expected a weight of shape {}, one for each class, got {}", scores.size(dim), to_string(o.weight.shape())));
    Shape beside(scores.shape().size(), 1);
    beside[static_cast<std::size_t>(dim)] = scores.size(dim);
    weighted = mul(weighted, o.weight.detach().reshape(beside));
  }
  const Tensor smoothed = o.label_smoothing > 0 ? target * (1 - o.label_smoothing) + o.label_smoothing / classes : target;
  const Tensor each = -mul(weighted, smoothed);
  if (o.reduction == Reduction::none) return sum(each, {dim});
  const double lines = static_cast<double>(scores.numel()) / classes;
  return o.reduction == Reduction::sum ? sum(each) : sum(each) / lines;
}

}  // namespace

Tensor nll_loss(const Tensor& y, const Tensor& target, const NllLossOptions& o) {
  kernels::NllDims d = check("nll_loss", y, target, o.weight, o.ignore_index);
  d.reduction = o.reduction;
  const Tensor t = flat(target);
  Tensor loss = empty_loss(d, y, t), total_weight = total_weight_for(d, y);
  dispatch_floating(y, [&](auto& context, auto type) {
    using T = decltype(type);
    kernels::nll_loss_forward<T>(context, d, y.data<T>(), t.data<std::int64_t>(), data_or_null<T>(o.weight), writable_or_null(total_weight), loss.data<T>());
  });
  record("nll_loss", loss, {y},
         [d, total_weight, shape = y.shape(), t = Saved("nll_loss", t), weight = Saved("nll_loss", o.weight)](const Tensor& gloss) -> Gradients {
           Tensor gy = Tensor::empty(shape, gloss.dtype(), gloss.device());
           dispatch_floating(gloss, [&](auto& context, auto type) {
             using T = decltype(type);
             kernels::nll_loss_backward<T>(context, d, t.get().data<std::int64_t>(), data_or_null<T>(weight.get()), data_or_null<double>(total_weight),
                                           gloss.data<T>(), gy.data<T>());
           });
           return {gy};
         });
  return d.reduction == Reduction::none ? loss.reshape(target.shape()) : loss;
}

Tensor cross_entropy(const Tensor& scores, const Tensor& target, const CrossEntropyOptions& o) {
  if (!(o.label_smoothing >= 0 && o.label_smoothing <= 1))
    throw Error(fmt::format("cross_entropy: expected a label_smoothing from 0 to 1, got {}", o.label_smoothing));
  if (target.shape() == scores.shape() && scores.rank() > 0) return cross_entropy_of_probabilities(scores, target, o);
  kernels::NllDims d = check("cross_entropy", scores, target, o.weight, o.ignore_index);
  d.reduction = o.reduction;
  return cross_entropy_of_classes(scores, target, o.weight, d, o.label_smoothing);
}

Tensor count_correct(const Tensor& scores, const Tensor& target, std::int64_t k) {
  check("count_correct", scores, target, {}, -1);
  if (scores.rank() != 2)
    throw ShapeError(fmt::format("count_correct: expected scores of shape (N, classes), got {}", to_string(scores.shape())));
  if (k < 1) throw Error(fmt::format("count_correct: expected k of 1 or more, got {}", k));
  Tensor correct = Tensor::empty({}, DType::i64, scores.device());
  dispatch_floating(scores, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::count_correct<T>(context, scores.size(0), scores.size(1), k, scores.data<T>(), target.data<std::int64_t>(), correct.data<std::int64_t>());
  });
  return correct;
}

}  // namespace mica
