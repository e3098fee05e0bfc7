// The fused cross-entropy beside the ops that it is made of.
#include "agreement.h"

#include <mica/core/allocator.h>
#include <mica/core/autograd.h>
#include <mica/core/ops.h>
#include <mica/core/random.h>

using namespace mica;
using namespace mica::test;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

struct Both {
  Tensor loss, gradient;
};

// Of f(x), pulled back from gradients 1, 2, 3, …
template <class F>
Both run(const Tensor& values, const F& f) {
  const Tensor x = values.clone().set_requires_grad(), loss = f(x);
  std::vector<double> gloss;
  for (std::int64_t i = 0; i < loss.numel(); ++i) gloss.push_back(static_cast<double>(i + 1));
  sum(mul(loss, Tensor::from<double>(gloss, loss.shape()).to(x.dtype()))).backward();
  return {loss.detach(), x.grad()};
}

// Classes of scores of this shape, −100 now and then.
Tensor some_classes(const Shape& scores) {
  Shape shape = scores;
  shape.erase(shape.begin() + 1);
  std::vector<std::int64_t> classes;
  for (std::int64_t i = 0; i < numel(shape); ++i) classes.push_back(i % 7 == 3 ? -100 : i * 5 % scores[1]);
  return Tensor::from<std::int64_t>(classes, shape);
}

const Shape shapes[] = {{1, 1}, {40, 10}, {9, 1}, {6, 1000}, {3, 16}, {2, 5, 3}, {2, 21, 130}, {2, 5, 3, 4}, {1, 3, 2, 2, 5}};

// f(scores, targets, class weights) on all shapes, f32 and f64.
template <class F>
void for_each_input(const F& f) {
  for (const Shape& shape : shapes)
    for (const DType dtype : {DType::f32, DType::f64}) {
      INFO(to_string(shape) << " " << name_of(dtype));
      Tensor x = Tensor::empty(shape, dtype), weight = Tensor::empty({shape[1]}, dtype);
      uniform_(x, -8, 8, random_key("x"));
      uniform_(weight, 0, 2, random_key("weight"));
      f(x, some_classes(shape), weight);
    }
}

}  // namespace

TEST_CASE("cross_entropy has the values of nll_loss of log_softmax, and its gradients") {
  for_each_input([](const Tensor& x, const Tensor& target, const Tensor& weight) {
    Tensor wild = x.to(DType::f64);  // lines with ∞ or NaN among others
    for (std::int64_t i = 0; i < wild.numel(); i += 17) wild.data<double>()[i] = i % 3 == 0 ? -infinity : i % 3 == 1 ? infinity : std::nan("");
    for (const Tensor& scores : {x, wild.to(x.dtype())})
      for (const Tensor& w : {Tensor(), weight})
        for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none}) {
          const Both fused = run(scores, [&](const Tensor& s) { return cross_entropy(s, target, {.weight = w, .reduction = reduction}); });
          const Both parts = run(scores, [&](const Tensor& s) { return nll_loss(log_softmax(s, 1), target, {.weight = w, .reduction = reduction}); });
          CHECK(difference_with_specials(fused.loss, parts.loss) == 0);
          CHECK(difference_with_specials(fused.gradient, parts.gradient) == 0);
        }
  });
}

TEST_CASE("smoothed cross_entropy is a share of nll_loss and a share of the mean over all classes") {
  for_each_input([](const Tensor& x, const Tensor& target, const Tensor& weight) {
    const double classes = static_cast<double>(x.size(1));
    Shape beside(x.shape().size(), 1);
    beside[1] = x.size(1);
    for (const Tensor& w : {Tensor(), weight}) {
      const Both fused = run(x, [&](const Tensor& s) { return cross_entropy(s, target, {.weight = w, .reduction = Reduction::none, .label_smoothing = 0.2}); });
      const Both parts = run(x, [&](const Tensor& s) {
        const Tensor y = log_softmax(s, 1), counted = (target.to(DType::f64) * 0.01 + 1).to(x.dtype());  // 0 where ignored, 1 or more elsewhere
        const Tensor all = sum(w.defined() ? mul(y, w.reshape(beside)) : y, {1});
        return nll_loss(y, target, {.weight = w, .reduction = Reduction::none}) * 0.8 - mul(all, clamp(counted, 0, 1)) * (0.2 / classes);
      });
      const double rounding = x.dtype() == DType::f32 ? 1e-6 : 1e-15;
      CHECK(difference(fused.loss, parts.loss) <= rounding);
      CHECK(difference(fused.gradient, parts.gradient) <= rounding);
    }
  });
}

TEST_CASE("cross_entropy keeps two values a line, and without a gradient nothing") {
  const Tensor target = Tensor::zeros({64}, DType::i64);
  const auto kept = [&](const Tensor& x) {
    const std::size_t before = host_memory_stats().current;
    const Tensor loss = cross_entropy(x, target);
    return host_memory_stats().current - before;
  };
  CHECK(kept(Tensor::zeros({64, 1000})) <= 64);  // the loss
  CHECK(kept(Tensor::zeros({64, 1000}).set_requires_grad()) <= 64 + 64 + 2 * 64 * sizeof(float));
}
