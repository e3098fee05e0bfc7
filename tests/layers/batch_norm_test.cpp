#include "../catch.h"
#include "../compare.h"

#include <mica/core/error.h>
#include <mica/core/ops.h>
#include <mica/core/random.h>
#include <mica/layers/layers.h>

using namespace mica;
using namespace mica::test;

namespace {

Tensor noise(const Shape& shape, const char* use) {
  Tensor x = Tensor::empty(shape);
  uniform_(x, -1, 2, random_key(use));
  return x;
}

}  // namespace

TEST_CASE("BatchNorm1d normalises the columns of (N, C)") {
  BatchNorm1d norm(3);
  const Tensor x = noise({8, 3}, "x");
  const std::vector<double> y = values(norm(x)), from = values(x);
  for (std::size_t c = 0; c < 3; ++c) {
    double mean = 0, variance = 0;
    for (std::size_t n = 0; n < 8; ++n) mean += from[3 * n + c] / 8;
    for (std::size_t n = 0; n < 8; ++n) variance += (from[3 * n + c] - mean) * (from[3 * n + c] - mean) / 8;
    for (std::size_t n = 0; n < 8; ++n)
      CHECK(y[3 * n + c] == Approx((from[3 * n + c] - mean) / std::sqrt(variance + 1e-5)).margin(1e-6));
    CHECK(values(norm.running_var)[c] == Approx(0.9 + 0.1 * variance * 8 / 7));
  }
  CHECK(norm.num_batches_tracked.item<std::int64_t>() == 1);
}

TEST_CASE("BatchNorm1d takes (N, C, L) as BatchNorm2d takes (N, C, L, 1)") {
  BatchNorm1d line(5);
  BatchNorm2d image(5);
  const Tensor x = noise({3, 5, 7}, "x");
  CHECK(same_bits(line(x).detach(), image(x.reshape({3, 5, 7, 1})).detach().reshape({3, 5, 7})));
  CHECK(same_bits(line.running_mean, image.running_mean));
  line.eval();
  image.eval();
  CHECK(same_bits(line(x).detach(), image(x.reshape({3, 5, 7, 1})).detach().reshape({3, 5, 7})));
  CHECK(error_text<ShapeError>([&] { line(Tensor::zeros({2, 5, 3, 3})); }) ==
        "BatchNorm1d: expected an input of shape (N, C) or (N, C, L), got 2×5×3×3");
  CHECK(error_text<ShapeError>([&] { image(Tensor::zeros({2, 5})); }) == "BatchNorm2d: expected an input of shape (N, C, H, W), got 2×5");
  CHECK(error_text<ShapeError>([] { BatchNorm1d(0); }) == "BatchNorm1d: expected 1 channel or more, got 0");
}

TEST_CASE("BatchNorm1d, ReLU and dropout fused equal the separate layers") {
  for (const Shape& shape : {Shape{6, 5}, Shape{3, 5, 7}}) {
    std::vector<Tensor> results;
    for (const bool fused : {true, false}) {
      Sequential net;
      net.add("norm", BatchNorm1d(5)).add("relu", ReLU()).add("dropout", Dropout(0.5));
      std::optional<NoFusion> off;
      if (!fused) off.emplace();
      results.push_back(net(noise(shape, "x")).detach());
    }
    CHECK(same_bits(results[0], results[1]));
    CHECK(largest(results[0]) > 0);
  }
}
