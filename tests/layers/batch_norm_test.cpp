#include "../catch.h"
#include "../compare.h"
#include "../no_device.h"

#include <mica/core/autograd.h>
#include <mica/core/error.h>
#include <mica/core/memory.h>
#include <mica/core/ops.h>
#include <mica/core/random.h>
#include <mica/core/range.h>
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

TEST_CASE("a BatchNorm2d on CUDA learns what the CPU's learns, running statistics and count included", "[cuda]") {
  if (no_device()) return;
  for (const std::optional<double> momentum : {std::optional(0.1), std::optional<double>()}) {
    BatchNorm2d here(5, {.momentum = momentum}), there(5, {.momentum = momentum});
    here.to(DType::f64);
    there.to(DType::f64);
    there.to(Device::cuda());
    const auto step = [](BatchNorm2d& layer, const Tensor& x, const Tensor& gy) {
      layer.zero_grad();
      const Tensor y = layer(x);
      y.backward(gy);
      const NoGrad off;
      for (Tensor p : layer.parameters()) p.copy_(p - p.grad() * Tensor::full({1}, 0.1, DType::f64, p.device()));
      return y.detach();
    };
    for (const char* use : {"first", "second", "third"}) {
      const Tensor x = noise({4, 5, 6, 7}, use).to(DType::f64), gy = noise({4, 5, 6, 7}, "gy").to(DType::f64);
      const Tensor want = step(here, x, gy);
      CHECK(difference(step(there, x.to(Device::cuda()), gy.to(Device::cuda())), want) < 1e-12);
    }
    const StateDict want = here.state_dict(), have = there.state_dict();
    REQUIRE(want.size() == 5);
    for (std::size_t i = 0; i < want.size(); ++i) {
      INFO(want[i].first);
      CHECK(have[i].second.device() == Device::cuda());
      CHECK(difference(have[i].second, want[i].second) < 1e-12);
    }
    CHECK(there.num_batches_tracked.item<std::int64_t>() == 3);
    there.eval();
    here.eval();
    const Tensor x = noise({2, 5, 3, 3}, "new").to(DType::f64);
    CHECK(difference(there(x.to(Device::cuda())).detach(), here(x).detach()) < 1e-12);
    CHECK(there.num_batches_tracked.item<std::int64_t>() == 3);
  }
}

TEST_CASE("without a momentum the running statistics are the averages of all batches, empty ones counted") {
  BatchNorm1d norm(2, {.momentum = {}});
  std::vector<double> mean(2), variance(2);
  for (const char* use : {"first", "second", "third"}) {
    const Tensor x = noise({9, 2}, use);
    BatchNorm1d alone(2, {.momentum = 1});
    alone(x);
    norm(x);
    for (std::size_t c = 0; c < 2; ++c) mean[c] += values(alone.running_mean)[c] / 3, variance[c] += values(alone.running_var)[c] / 3;
  }
  for (std::size_t c = 0; c < 2; ++c) {
    CHECK(values(norm.running_mean)[c] == Approx(mean[c]));
    CHECK(values(norm.running_var)[c] == Approx(variance[c]));
  }
  norm(Tensor::zeros({0, 2}));
  CHECK(norm.num_batches_tracked.item<std::int64_t>() == 4);
}

TEST_CASE("an empty batch counts on CUDA without a wait for the device", "[cuda]") {
  if (no_device()) return;
  BatchNorm2d norm(3);
  norm.to(Device::cuda());
  const Tensor index = Tensor::full({1}, 7, DType::i64, Device::cuda()), x = Tensor::zeros({0, 3, 4, 4}, DType::f32, Device::cuda());
  synchronize(Device::cuda());
  require_in_range(index, 5, {}, [](std::int64_t, std::int64_t) { return std::string("somebody waited"); });
  norm(x);
  CHECK(error_text<Error>([] { synchronize(Device::cuda()); }) == "somebody waited");
  CHECK(norm.num_batches_tracked.item<std::int64_t>() == 1);
}

TEST_CASE("batch_norm says what is wrong with num_batches_tracked") {
  const Tensor x = noise({4, 2}, "x"), mean = Tensor::zeros({2}), variance = Tensor::ones({2});
  const auto text = [&](const BatchNormOptions& options) { return error_text<Error>([&] { batch_norm(x, {}, {}, mean, variance, options); }); };
  CHECK(text({.training = true, .momentum = {}}) == "batch_norm: the average of all batches needs num_batches_tracked; give it, or a momentum");
  CHECK(text({.training = true, .num_batches_tracked = Tensor::zeros({3}, DType::i64)}) ==
        "batch_norm: expected num_batches_tracked to be one i64, got i64 of shape 3");
  CHECK(text({.training = true, .num_batches_tracked = Tensor::zeros({})}) == "batch_norm: expected num_batches_tracked to be one i64, got f32 of shape scalar");
  CHECK(largest(mean) == 0);
}
