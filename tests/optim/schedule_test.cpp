#include "../catch.h"
#include "../compare.h"
#include "../project_file.h"

#include <mica/core/error.h>
#include <mica/core/safetensors.h>
#include <mica/optim/schedule.h>
#include <mica/optim/sgd.h>

#include <nlohmann/json.hpp>

using namespace mica;
using namespace mica::test;

namespace {

PlateauOptions options_of(const nlohmann::json& j) {
  PlateauOptions o;
  if (j.value("mode", "min") == "max") o.mode = PlateauMode::max;
  if (j.value("threshold_mode", "rel") == "abs") o.threshold_mode = ThresholdMode::absolute;
  o.factor = j.value("factor", o.factor);
  o.patience = j.value("patience", o.patience);
  o.threshold = j.value("threshold", o.threshold);
  o.cooldown = j.value("cooldown", o.cooldown);
  o.eps = j.value("eps", o.eps);
  if (j.contains("min_lr")) o.min_lr = j["min_lr"].is_array() ? j["min_lr"].get<std::vector<double>>() : std::vector<double>{j["min_lr"]};
  return o;
}

}  // namespace

TEST_CASE("ReduceLROnPlateau equals PyTorch's on 400 noisy metrics with NaN, to the bit") {
  const Safetensors file = load_safetensors(project_file("tests/pytorch/plateau.safetensors"));
  const std::map<std::string, Tensor> stored(file.tensors.begin(), file.tensors.end());
  REQUIRE(file.metadata.size() == 9);
  for (const auto& [id, text] : file.metadata) {
    INFO(text);
    const Tensor a = Tensor::zeros({1}).set_requires_grad(), b = Tensor::zeros({1}).set_requires_grad();
    Sgd sgd({a}, {.lr = 1});
    sgd.add_group({b}, {.lr = 0.3});
    ReduceLROnPlateau schedule(sgd, options_of(nlohmann::json::parse(text)));
    std::vector<double> rates;
    for (const double metric : values(stored.at(id + ".metrics"))) {
      schedule.step(metric);
      rates.push_back(sgd.lr(0));
      rates.push_back(sgd.lr(1));
    }
    CHECK(rates == values(stored.at(id + ".rates")));
  }
}

TEST_CASE("any schedule takes a metric; ReduceLROnPlateau needs it") {
  const Tensor a = Tensor::zeros({1}).set_requires_grad(), b = Tensor::zeros({1}).set_requires_grad();
  Sgd sgd({a}, {.lr = 1});
  StepLR by_epoch(sgd, 1, 0.5);
  Schedule& schedule = by_epoch;
  schedule.step(3);
  schedule.step();
  CHECK(sgd.lr() == 0.25);
  ReduceLROnPlateau plateau(sgd, {.patience = 0, .min_lr = {0.1}});
  CHECK(error_text<Error>([&] { plateau.step(); }) == "ReduceLROnPlateau: step needs the epoch's metric; call step(metric)");
  CHECK(error_text<Error>([&] { ReduceLROnPlateau(sgd, {.factor = 1}); }) ==
        "ReduceLROnPlateau: expected a factor from 0 to below 1, got 1");
  CHECK(error_text<Error>([&] { ReduceLROnPlateau(sgd, {.min_lr = {0.1, 0.2}}); }) ==
        "ReduceLROnPlateau: expected one min_lr, or one for each of 1 groups, got 2");
}

TEST_CASE("ReduceLROnPlateau and groups that are added later") {
  const auto parameter = [] { return Tensor::zeros({1}).set_requires_grad(); };
  Sgd sgd({parameter()}, {.lr = 1});
  sgd.add_group({parameter()}, {.lr = 1});
  ReduceLROnPlateau one(sgd, {.patience = 0}), each(sgd, {.patience = 0, .min_lr = {0.1, 0.2}});
  sgd.add_group({parameter()}, {.lr = 1});
  one.step(1);
  one.step(1);
  CHECK(sgd.lr(2) == 0.1);
  each.step(1);
  CHECK(error_text<Error>([&] { each.step(1); }) ==
        "ReduceLROnPlateau: the optimizer has 3 groups now, but min_lr was given for 2; give one for all");
}
