#include "../catch.h"
#include "../compare.h"

#include <mica/core/ops.h>
#include <mica/core/random.h>
#include <mica/layers/layers.h>

using namespace mica;
using namespace mica::test;

namespace {

Tensor noise(const Shape& shape, const char* use) {
  Tensor x = Tensor::empty(shape, DType::f64);
  uniform_(x, -2, 2, random_key(use));
  return x;
}

}  // namespace

TEST_CASE("classification losses are their ops, with the options given") {
  Tensor scores = noise({4, 3}, "scores").set_requires_grad();
  const Tensor target = Tensor::from<std::int64_t>({0, 2, 1, 2}, {4}), weight = Tensor::from<double>({1, 2, 0.5}, {3});
  CHECK(same_bits(CrossEntropyLoss()(scores, target).detach(), cross_entropy(scores, target).detach()));
  const CrossEntropyOptions options{.weight = weight, .ignore_index = 1, .reduction = Reduction::sum, .label_smoothing = 0.1};
  const Tensor loss = CrossEntropyLoss(options)(scores, target);
  CHECK(same_bits(loss.detach(), cross_entropy(scores, target, options).detach()));
  CHECK(!same_bits(loss.detach(), cross_entropy(scores, target).detach()));
  loss.backward();
  CHECK(largest(scores.grad()) > 0);
  const Tensor y = log_softmax(scores, 1);
  CHECK(same_bits(NLLLoss()(y, target).detach(), nll_loss(y, target).detach()));
  CHECK(NLLLoss({.weight = {}, .reduction = Reduction::none})(y, target).shape() == Shape{4});
  const NllLossOptions ignoring{.weight = {}, .ignore_index = 2};
  CHECK(same_bits(NLLLoss(ignoring)(y, target).detach(), nll_loss(y, target, ignoring).detach()));
}

TEST_CASE("regression losses are their ops, with the options given") {
  Tensor x = noise({4, 3}, "x").set_requires_grad();
  const Tensor target = noise({4, 3}, "target");
  CHECK(same_bits(MSELoss()(x, target).detach(), mse_loss(x, target).detach()));
  CHECK(same_bits(L1Loss()(x, target).detach(), l1_loss(x, target).detach()));
  CHECK(same_bits(HuberLoss()(x, target).detach(), huber_loss(x, target, 1).detach()));
  CHECK(same_bits(MSELoss(Reduction::sum)(x, target).detach(), mse_loss(x, target, Reduction::sum).detach()));
  CHECK(same_bits(L1Loss(Reduction::none)(x, target).detach(), l1_loss(x, target, Reduction::none).detach()));
  CHECK(same_bits(HuberLoss({.reduction = Reduction::sum, .delta = 0.3})(x, target).detach(),
                  huber_loss(x, target, 0.3, Reduction::sum).detach()));
  HuberLoss()(x, target).backward();
  CHECK(largest(x.grad()) > 0);
}
