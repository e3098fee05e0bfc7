#include <mica/core/autograd.h>
#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/metrics.h>
#include <mica/core/ops/elementwise.h>
#include <mica/core/ops/loss.h>
#include <mica/kernels/answers.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mica {

Metrics::Metrics(std::int64_t classes, Device device, std::int64_t top_k) : classes_(classes), top_k_(top_k), device_(device) {
  if (classes < 1 || top_k < 1 || top_k > classes)
    throw Error(fmt::format("Metrics: expected 1 class or more and top_k from 1 to their number, got {} and {}", classes, top_k));
  reset();
}

void Metrics::reset() {
  count_ = 0;
  confusion_ = Tensor::zeros({classes_, classes_}, DType::i64, device_);
  in_top_k_ = Tensor::zeros({}, DType::f64, device_), loss_sum_ = Tensor::zeros({}, DType::f64, device_);
}

void Metrics::add(const Tensor& scores, const Tensor& target, const Tensor& loss) {
  const NoGrad no_grad;
  if (scores.rank() != 2 || scores.size(1) != classes_)
    throw ShapeError(fmt::format("Metrics: expected scores of shape (N, {}), got {}", classes_, to_string(scores.shape())));
  const Tensor in_top_k = count_correct(scores, target, top_k_);  // which checks the rest
  confusion_.bump_version();
  dispatch_floating(scores, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::count_confusions<T>(context, scores.size(0), classes_, scores.data<T>(), target.data<std::int64_t>(), confusion_.data<std::int64_t>());
  });
  in_top_k_ = mica::add(in_top_k_, in_top_k.to(DType::f64));
  loss_sum_ = mica::add(loss_sum_, mul(loss.detach().to(DType::f64), Tensor::full({}, static_cast<double>(scores.size(0)), DType::f64, device_)));
  count_ += scores.size(0);
}

Metrics::Values Metrics::read() const {
  Values v{.count = count_, .classes = classes_, .top_k = top_k_, .confusion = confusion_.to(Device::cpu()).to_vector<std::int64_t>()};
  const double n = static_cast<double>(std::max<std::int64_t>(count_, 1));
  std::int64_t right = 0;
  for (std::int64_t c = 0; c < classes_; ++c) right += v.confusion[static_cast<std::size_t>(c * (classes_ + 1))];
  v.loss = loss_sum_.item<double>() / n, v.accuracy = static_cast<double>(right) / n, v.top_k_accuracy = in_top_k_.item<double>() / n;
  return v;
}

namespace {

// Σ over a column or a row of the matrix, from its first element.
double total(const std::vector<std::int64_t>& confusion, std::int64_t first, std::int64_t step, std::int64_t classes) {
  std::int64_t sum = 0;
  for (std::int64_t i = 0; i < classes; ++i) sum += confusion[static_cast<std::size_t>(first + i * step)];
  return static_cast<double>(sum);
}

std::string percent(double share) { return std::isnan(share) ? "-" : fmt::format("{:.2f} %", 100 * share); }

double diagonal(const std::vector<std::int64_t>& confusion, std::int64_t classes, std::int64_t c) {
  return static_cast<double>(confusion[static_cast<std::size_t>(c * (classes + 1))]);
}

}  // namespace

double Metrics::Values::precision(std::int64_t c) const { return diagonal(confusion, classes, c) / total(confusion, c, classes, classes); }
double Metrics::Values::recall(std::int64_t c) const { return diagonal(confusion, classes, c) / total(confusion, c * classes, 1, classes); }
double Metrics::Values::f1(std::int64_t c) const {
  return 2 * diagonal(confusion, classes, c) / (total(confusion, c, classes, classes) + total(confusion, c * classes, 1, classes));
}

std::string Metrics::Values::table() const {
  std::string text = "class";
  for (std::int64_t c = 0; c < classes; ++c) text += fmt::format("{:>7}", c);
  text += fmt::format("{:>10}{:>11}{:>10}\n", "recall", "precision", "F1");
  for (std::int64_t c = 0; c < classes; ++c) {
    text += fmt::format("{:>5}", c);
    for (std::int64_t other = 0; other < classes; ++other) text += fmt::format("{:>7}", confusion[static_cast<std::size_t>(c * classes + other)]);
    text += fmt::format("{:>10}{:>11}{:>10}\n", percent(recall(c)), percent(precision(c)), percent(f1(c)));
  }
  return text;
}

}  // namespace mica
