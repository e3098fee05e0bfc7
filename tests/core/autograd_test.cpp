#include "../catch.h"
#include "../compare.h"

#include <mica/core/autograd.h>
#include <mica/core/error.h>
#include <mica/core/ops.h>

using namespace mica;
using namespace mica::test;

namespace {

Tensor leaf(double value) { return Tensor::full({}, value, DType::f64).set_requires_grad(); }

}  // namespace

TEST_CASE("a tensor used twice gets both gradients") {
  const Tensor x = leaf(3);
  const Tensor y = x * x + x;
  (y * y).backward();
  CHECK(x.grad().item<double>() == 2 * 12 * 7);
}

TEST_CASE("gradients accumulate over backwards, and are each leaf's own") {
  const Tensor a = leaf(1), b = leaf(2);
  (a + b).backward();
  (a + b).backward();
  CHECK(a.grad().item<double>() == 2);
  b.set_grad({});
  const Tensor gy = Tensor::ones({}, DType::f64);
  b.clone().backward(gy);  // clone's gradient is gy itself
  b.grad().fill_(9);
  CHECK(gy.item<double>() == 1);
  a.set_grad({});
  CHECK(!a.grad().defined());
}

TEST_CASE("a gradient reaches x through reshape, slice, index, clone and to") {
  const Tensor x = Tensor::from<float>({1, 2, 3, 4, 5, 6, 7, 8}, {2, 2, 1, 2}).set_requires_grad();
  const Tensor y = x.slice(1, 2).reshape({4}).clone().to(DType::f64);
  sum(y * y).backward();
  CHECK(x.grad().to_vector<float>() == std::vector<float>{0, 0, 0, 0, 10, 12, 14, 16});
  x.set_grad({});
  sum(x[0]).backward();
  CHECK(x.grad().to_vector<float>() == std::vector<float>{1, 1, 1, 1, 0, 0, 0, 0});
}

TEST_CASE("NoGrad records nothing") {
  const Tensor x = leaf(1);
  const NoGrad no_grad;
  CHECK(!(x * x).requires_grad());
}

TEST_CASE("misuse of the graph is an error that says what to do") {
  const Tensor x = leaf(2);
  const Tensor y = x * x;
  y.backward();
  CHECK(error_text<GraphError>([&] { y.backward(); }) ==
        "backward of mul: this part of the graph has been freed by an earlier backward; run forward again");
  CHECK(error_text<GraphError>([&] { Tensor::zeros({}).backward(); }) ==
        "backward: the tensor does not depend on any that requires a gradient; call set_requires_grad() on a leaf before forward, "
        "outside NoGrad");
  CHECK(error_text<GraphError>([&] { Tensor::zeros({2}).set_requires_grad().backward(); }) ==
        "backward: the tensor has shape 2, expected one element; give the gradient of this tensor, or reduce it with sum or mean");
  CHECK(error_text<DTypeError>([] { Tensor::zeros({}, DType::i64).set_requires_grad(); }) ==
        "set_requires_grad: tensor is i64, expected f32 or f64; convert it with to()");
  Tensor leaf_tensor = leaf(1);
  CHECK(error_text<GraphError>([&] { leaf_tensor.fill_(0); }) ==
        "fill_: a tensor that requires a gradient cannot be changed in place; do it within NoGrad");
}

TEST_CASE("a needed tensor that was changed in place is an error, also through a view") {
  Tensor w = Tensor::ones({3}, DType::f64);
  const Tensor x = Tensor::ones({3}, DType::f64).set_requires_grad();
  Tensor y = sum(x * w);
  w.slice(0, 1).fill_(5);
  CHECK(error_text<GraphError>([&] { y.backward(); }) ==
        "backward of mul: a tensor that it saved (shape 3) was changed in place after forward; clone() it before the change");
  y = sum(x + w);  // add saves both, too, but reads neither
  CHECK(error_text<GraphError>([&] { y.backward(); }).empty());
}

TEST_CASE("a chain of a million ops runs backward and is freed without recursion") {
  const Tensor x = leaf(1);
  for (const bool run : {true, false}) {
    Tensor y = x * 1.0;
    const Tensor one = Tensor::full({}, 1e-9, DType::f64);
    for (int i = 0; i < 1'000'000; ++i) y = y + one;
    if (run) y.backward();
  }
  CHECK(x.grad().item<double>() == 1);
}
