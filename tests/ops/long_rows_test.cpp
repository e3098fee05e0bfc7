// Ops of two operands whose loops bring elements together (kernels/cpu/elementwise_loops.h), along rows longer than they do at a time.
#include "../catch.h"
#include "../compare.h"

#include <mica/core/ops.h>
#include <mica/core/random.h>

using namespace mica;
using namespace mica::test;

TEST_CASE("pow, losses and their gradients in f32 equal f64's along long rows, with every stride") {
  using Op = Tensor (*)(const Tensor&, const Tensor&);
  const std::vector<Op> ops{[](const Tensor& a, const Tensor& b) { return pow(a, b); },
                            [](const Tensor& a, const Tensor& b) { return l1_loss(a, b, Reduction::none); },
                            [](const Tensor& a, const Tensor& b) { return mse_loss(a, b); },
                            [](const Tensor& a, const Tensor& b) { return huber_loss(a, b, 0.5); }};
  const auto noise = [](const Shape& shape, const char* use) {
    Tensor x = Tensor::empty(shape, DType::f64);
    uniform_(x, 0.5, 2, random_key(use));
    return x.to(DType::f32).to(DType::f64);
  };
  for (const Shape& of_a : {Shape{3, 1000}, Shape{1000}, Shape{3, 1}, Shape{}, Shape{1000, 3}})
    for (const Shape& of_b : {Shape{3, 1000}, Shape{1000}, Shape{3, 1}, Shape{}, Shape{1000, 3}}) {
      INFO(to_string(of_a) << " to the power of " << to_string(of_b));
      const auto run = [&](Op op, DType dtype) {
        const auto made = [&](const Shape& shape, const char* use) { return noise(shape, use).to(dtype).set_requires_grad(); };
        const auto wide = [](const Tensor& x) { return x.shape() == Shape{1000, 3} ? transpose(x, 0, 1) : x; };  // a stride of 3
        const Tensor a = made(of_a, "a"), b = made(of_b, "b"), y = op(wide(a), wide(b));
        y.backward(noise(y.shape(), "gy").to(dtype));
        return std::vector<Tensor>{y.detach(), a.grad(), b.grad()};
      };
      for (const Op op : ops) {
        const std::vector<Tensor> f32 = run(op, DType::f32), f64 = run(op, DType::f64);
        for (std::size_t i = 0; i < 3; ++i) CHECK(difference(f32[i], f64[i]) < 1e-6);  // f32's unit is 6e-8
      }
    }
}
