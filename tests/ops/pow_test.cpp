// pow along rows that are longer than what its loop brings together at a time (kernels/cpu/elementwise_loops.h).
#include "../catch.h"
#include "../compare.h"

#include <mica/core/ops.h>
#include <mica/core/random.h>

using namespace mica;
using namespace mica::test;

TEST_CASE("pow and its gradients in f32 equal f64's along long rows, with every stride") {
  const auto noise = [](const Shape& shape, const char* use) {
    Tensor x = Tensor::empty(shape, DType::f64);
    uniform_(x, 0.5, 2, random_key(use));
    return x.to(DType::f32).to(DType::f64);
  };
  for (const Shape& of_a : {Shape{3, 1000}, Shape{1000}, Shape{3, 1}, Shape{}, Shape{1000, 3}})
    for (const Shape& of_b : {Shape{3, 1000}, Shape{1000}, Shape{3, 1}, Shape{}, Shape{1000, 3}}) {
      INFO(to_string(of_a) << " to the power of " << to_string(of_b));
      const auto run = [&](DType dtype) {
        const auto made = [&](const Shape& shape, const char* use) { return noise(shape, use).to(dtype).set_requires_grad(); };
        const auto wide = [](const Tensor& x) { return x.shape() == Shape{1000, 3} ? transpose(x, 0, 1) : x; };  // a stride of 3
        const Tensor a = made(of_a, "a"), b = made(of_b, "b"), y = pow(wide(a), wide(b));
        y.backward(noise(y.shape(), "gy").to(dtype));
        return std::vector<Tensor>{y.detach(), a.grad(), b.grad()};
      };
      const std::vector<Tensor> f32 = run(DType::f32), f64 = run(DType::f64);
      for (std::size_t i = 0; i < 3; ++i) CHECK(difference(f32[i], f64[i]) < 1e-6);  // f32's unit is 6e-8
    }
}
