// oneDNN's primitives are kept by shape and options: none may be mistaken for another.
#include "../catch.h"
#include "../compare.h"

#include <mica/core/ops.h>

using namespace mica;
using namespace mica::test;

TEST_CASE("primitives kept by shape are not mistaken for one another") {
  // The same sizes with other groups, stride, padding, dilation and bias, one after the other. Whole numbers make every
  // partial sum exact, so that f32 and f64 are equal.
  std::vector<double> v;
  for (int i = 0; i < 2 * 4 * 9 * 9; ++i) v.push_back(i * 7 % 11 - 5);
  const Tensor x = Tensor::from<double>(v, {2, 4, 9, 9});
  for (const std::int64_t groups : {1, 2, 4})
    for (const std::int64_t stride : {1, 2})
      for (const std::int64_t padding : {0, 1})
        for (const std::int64_t dilation : {1, 2})
          for (const bool with_bias : {false, true}) {
            const Shape shape{4, 4 / groups, 3, 3};
            const Tensor w = Tensor::from<double>(std::vector<double>(v.begin(), v.begin() + numel(shape)), shape);
            const Tensor b = with_bias ? Tensor::from<double>({1, 2, 3, 4}, {4}) : Tensor();
            const Conv2dOptions options{{stride, stride}, {padding, padding}, {dilation, dilation}, groups};
            const Tensor narrow = with_bias ? b.to(DType::f32) : b;
            CHECK(difference(conv2d(x.to(DType::f32), w.to(DType::f32), narrow, options), conv2d(x, w, b, options)) == 0);
          }
}
