#include "../catch.h"
#include "../compare.h"

#include <mica/core/error.h>
#include <mica/core/random.h>
#include <mica/layers/layers.h>

#include <cmath>

using namespace mica;
using namespace mica::test;

TEST_CASE("Conv2d takes a number or a pair, along H and W") {
  Conv2d conv(4, 6, {3, 2}, {.stride = {1, 2}, .padding = {2, 0}, .dilation = {2, 1}, .groups = 2});
  CHECK(conv.weight.shape() == Shape{6, 2, 3, 2});
  CHECK(largest(conv.weight) <= 1 / std::sqrt(2.0 * 3 * 2));
  CHECK(largest(conv.weight) > 0.9 / std::sqrt(2.0 * 3 * 2));
  Tensor x = Tensor::empty({2, 4, 7, 9});
  uniform_(x, -1, 1, random_key("x"));
  const Tensor y = conv(x);
  CHECK(y.shape() == Shape{2, 6, 7, 4});
  CHECK(same_bits(y.detach(), conv2d(x, conv.weight, conv.bias, {{1, 2}, {2, 0}, {2, 1}, 2}).detach()));
  CHECK(conv.mult_adds(y.shape()) == (6 * 2 * 3 * 2 + 6) * 2 * 7 * 4);
  CHECK(Conv2d(4, 6, 3, {.stride = 2, .padding = 1})(x).shape() == Shape{2, 6, 4, 5});
  CHECK(error_text<ShapeError>([] { Conv2d(4, 6, {3, 0}, {.groups = 3}); }) ==
        "Conv2d: expected channels and kernel of 1 or more and groups that divide both channels, got 4 → 6 channels, kernel 3×0, groups 3");
}
