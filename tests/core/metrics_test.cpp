// What a classifier gets right and wrong, counted over batches.
#include "../compare.h"
#include "../no_device.h"

#include <mica/core/error.h>
#include <mica/core/metrics.h>
#include <mica/core/ops/loss.h>

#include <cmath>

using namespace mica;
using namespace mica::test;

namespace {

const double nan = std::nan("");

// Three classes; answers, with ties, are 1 0 2 | 0 1: NaN stands before all, and of equal scores the first class.
const std::vector<double> first_scores{0, 3, 1, /**/ 2, 2, 2, /**/ 5, 1, nan}, second_scores{4, 1, 3, /**/ -1, 7, 7};
const std::vector<std::int64_t> first_targets{1, 2, 2}, second_targets{2, 0};

Metrics::Values counted(Device device, DType dtype) {
  Metrics metrics(3, device, 2);
  for (const int batch : {0, 1}) {
    const std::int64_t n = batch ? 2 : 3;
    const Tensor y = Tensor::from<double>(batch ? second_scores : first_scores, {n, 3}).to(dtype).to(device);
    const Tensor target = Tensor::from<std::int64_t>(batch ? second_targets : first_targets, {n}).to(device);
    metrics.add(y, target, Tensor::full({}, batch ? 2 : 0.5, dtype).to(device));
  }
  return metrics.read();
}

void check_counts(Device device) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Metrics::Values v = counted(device, dtype);
    CHECK(v.count == 5);
    CHECK(v.loss == Approx((3 * 0.5 + 2 * 2) / 5));
    CHECK(v.confusion == std::vector<std::int64_t>{0, 1, 0, /**/ 0, 1, 0, /**/ 2, 0, 1});
    CHECK(v.accuracy == Approx(2.0 / 5));
    // Second answers are 2 1 0 | 2 2: of the three wrong rows, one has its target there.
    CHECK(v.top_k_accuracy == Approx(3.0 / 5));
    CHECK(v.recall(2) == Approx(1.0 / 3));
    CHECK(v.precision(2) == 1);
    CHECK(v.f1(2) == Approx(0.5));
    CHECK(v.precision(0) == 0);
    CHECK(v.f1(0) == 0);
  }
}

}  // namespace

TEST_CASE("metrics count confusions, the best answers and the mean loss over batches") { check_counts(Device::cpu()); }

TEST_CASE("metrics are counted on a CUDA device too", "[cuda]") {
  if (!no_device()) check_counts(Device::cuda());
}

TEST_CASE("metrics begin anew, and say what is not there") {
  Metrics metrics(2, Device::cpu(), 1);
  const Tensor y = Tensor::from<double>({1, 0}, {1, 2}), right = Tensor::from<std::int64_t>({0}, {1});
  metrics.add(y, right, Tensor::ones({}, DType::f64));
  metrics.reset();
  CHECK(metrics.read().accuracy == 0);
  metrics.add(y, right, Tensor::ones({}, DType::f64));
  const Metrics::Values v = metrics.read();
  CHECK(v.accuracy == 1);
  CHECK(std::isnan(v.recall(1)));
  CHECK(std::isnan(v.precision(1)));
  CHECK(v.table() == "class      0      1    recall  precision        F1\n"
                     "    0      1      0  100.00 %   100.00 %  100.00 %\n"
                     "    1      0      0         -          -         -\n");
}

TEST_CASE("metrics refuse what does not fit") {
  CHECK(error_text<Error>([] { Metrics(3, Device::cpu(), 4); }) == "Metrics: expected 1 class or more and top_k from 1 to their number, got 3 and 4");
  Metrics metrics(3, Device::cpu());
  const Tensor loss = Tensor::ones({});
  CHECK(error_text<ShapeError>([&] { metrics.add(Tensor::ones({2, 4}), Tensor::from<std::int64_t>({0, 1}, {2}), loss); }) ==
        "Metrics: expected scores of shape (N, 3), got 2×4");
  CHECK_THROWS_AS(metrics.add(Tensor::ones({2, 3}), Tensor::from<std::int64_t>({0, 3}, {2}), loss), Error);
  CHECK(metrics.read().count == 0);
  CHECK(error_text<Error>([] { count_correct(Tensor::ones({1, 2}), Tensor::from<std::int64_t>({0}, {1}), 0); }) == "count_correct: expected k of 1 or more, got 0");
}
