// The fast path of max pooling, windows of 2×2 side by side in f32, against f64's general loops: ties, NaN, infinities,
// and any number of channels, with every instruction set.
#include "../catch.h"
#include "../compare.h"

#include <mica/core/autograd.h>
#include <mica/core/ops/pool.h>
#include <mica/core/random.h>
#include <mica/kernels/cpu/vector.h>

using namespace mica;
using namespace mica::test;
using kernels::InstructionSet;

namespace {

// Small integers, so that most windows have ties, with NaN and −∞ strewn in; stored as N,H,W,C.
Tensor image(const Shape& shape) {
  Tensor x = Tensor::empty(shape);
  uniform_(x, -2.5, 2.5, random_key("image"));
  float* values = x.data<float>();
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    values[i] = std::round(values[i]);
    if (i % 11 == 3) values[i] = std::numeric_limits<float>::quiet_NaN();
    if (i % 7 < 2) values[i] = -std::numeric_limits<float>::infinity();
  }
  return x;
}

// y and gx.
std::pair<Tensor, Tensor> pool(const Tensor& values, DType type) {
  Tensor x = values.to(type).clone().set_requires_grad();
  const Tensor y = max_pool2d(x, {.kernel = {2, 2}});
  Tensor gy = Tensor::empty(y.shape());
  uniform_(gy, -1, 1, random_key("gy"));
  y.backward(gy.to(type));
  return {y.detach().to(DType::f32), x.grad().to(DType::f32)};
}

}  // namespace

TEST_CASE("max pooling of 2x2 windows in f32 equals the general loops, with every instruction set") {
  for (const Shape& shape : {Shape{2, 1, 6, 4}, Shape{3, 16, 4, 10}, Shape{1, 21, 2, 2}, Shape{2, 40, 8, 6}, Shape{2, 5, 7, 5}}) {
    const Tensor x = image(shape);
    const auto [y, gx] = pool(x, DType::f64);
    for (const auto set : {InstructionSet::portable, InstructionSet::avx2, InstructionSet::avx512}) {
      INFO(to_string(shape) << ", instruction set " << static_cast<int>(set));
      kernels::limit_instruction_set(set);
      const auto [fast_y, fast_gx] = pool(x, DType::f32);
      const std::vector<double> got = values(fast_y), expected = values(y);
      for (std::size_t i = 0; i < got.size(); ++i)
        if (!(got[i] == expected[i] || (std::isnan(got[i]) && std::isnan(expected[i])))) FAIL_CHECK("y at " << i << ": " << got[i] << ", not " << expected[i]);
      CHECK(difference(fast_gx, gx) == 0);
    }
  }
  kernels::limit_instruction_set(InstructionSet::avx512);
}
