#include "../catch.h"
#include "../compare.h"
#include "../project_file.h"

#include <mica/core/error.h>
#include <mica/core/safetensors.h>
#include <mica/optim/adam.h>
#include <mica/optim/one_cycle.h>
#include <mica/optim/plateau.h>
#include <mica/optim/schedule_list.h>
#include <mica/optim/sgd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <functional>

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

using Parts = std::vector<std::unique_ptr<Schedule>>;

std::unique_ptr<Schedule> schedule_of(Optimizer& optimizer, const std::string& name, const nlohmann::json& j) {
  const double gamma = j.value("gamma", 0.1);
  if (name == "StepLR") return std::make_unique<StepLR>(optimizer, j["step_size"], gamma);
  if (name == "MultiStepLR") return std::make_unique<MultiStepLR>(optimizer, j["milestones"].get<std::vector<std::int64_t>>(), gamma);
  if (name == "ExponentialLR") return std::make_unique<ExponentialLR>(optimizer, gamma);
  if (name == "CosineAnnealingLR") return std::make_unique<CosineAnnealingLR>(optimizer, j["T_max"], j.value("eta_min", 0.0));
  REQUIRE(name == "LinearLR");
  return std::make_unique<LinearLR>(optimizer, j.value("start_factor", 1.0 / 3), j.value("end_factor", 1.0), j.value("total_iters", 5));
}

std::unique_ptr<Schedule> schedule_of(Optimizer& optimizer, const nlohmann::json& line) {
  Parts parts;
  for (const auto& part : line["parts"]) parts.push_back(schedule_of(optimizer, part[0], part[1]));
  const auto milestones = line["milestones"].get<std::vector<std::int64_t>>();
  if (!milestones.empty()) return std::make_unique<SequentialLR>(optimizer, std::move(parts), milestones);
  if (parts.size() > 1) return std::make_unique<ChainedScheduler>(optimizer, std::move(parts));
  return std::move(parts[0]);
}

OneCycleOptions one_cycle_of(const nlohmann::json& j) {
  OneCycleOptions o;
  o.max_lr = j["max_lr"].is_array() ? j["max_lr"].get<std::vector<double>>() : std::vector<double>{j["max_lr"]};
  o.total_steps = j["total_steps"];
  o.pct_start = j.value("pct_start", o.pct_start);
  if (j.value("anneal_strategy", "cos") == "linear") o.anneal_strategy = AnnealStrategy::linear;
  o.cycle_momentum = j.value("cycle_momentum", o.cycle_momentum);
  o.base_momentum = j.value("base_momentum", o.base_momentum);
  o.max_momentum = j.value("max_momentum", o.max_momentum);
  o.div_factor = j.value("div_factor", o.div_factor);
  o.final_div_factor = j.value("final_div_factor", o.final_div_factor);
  o.three_phase = j.value("three_phase", o.three_phase);
  return o;
}

Sgd two_groups(double momentum = 0) {
  Sgd sgd({Tensor::zeros({1}).set_requires_grad()}, {.lr = 0.5, .momentum = momentum});
  sgd.add_group({Tensor::zeros({1}).set_requires_grad()}, {.lr = 0.03, .momentum = momentum});
  return sgd;
}

// Largest relative difference; 1 where one alone is 0.
double relative(double a, double b) { return a == b ? 0 : std::abs(a - b) / std::max(std::abs(a), std::abs(b)); }

constexpr double pytorch_rounding = 1e-12;  // its formulas go from rate to rate, by as many roundings

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

TEST_CASE("schedules, chained and in sequence too, equal PyTorch's over 210 steps") {
  const Safetensors file = load_safetensors(project_file("tests/pytorch/schedules.safetensors"));
  const std::map<std::string, Tensor> stored(file.tensors.begin(), file.tensors.end());
  REQUIRE(file.metadata.size() == 19);
  for (const auto& [id, text] : file.metadata) {
    INFO(text);
    Sgd sgd = two_groups();
    const auto schedule = schedule_of(sgd, nlohmann::json::parse(text));
    const Tensor& rates = stored.at(id + ".rates");
    const std::vector<double> wanted = values(rates);
    const auto groups = static_cast<std::size_t>(rates.size(1));
    double worst = 0;
    for (std::size_t step = 0; step < 210; ++step) {
      for (std::size_t g = 0; g < groups; ++g) worst = std::max(worst, relative(sgd.lr(g), wanted[step * groups + g]));
      schedule->step();
    }
    CHECK(worst < pytorch_rounding);
  }
}

TEST_CASE("OneCycleLR equals PyTorch's over all steps, momentum and beta1 included") {
  const Safetensors file = load_safetensors(project_file("tests/pytorch/one_cycle.safetensors"));
  const std::map<std::string, Tensor> stored(file.tensors.begin(), file.tensors.end());
  REQUIRE(file.metadata.size() == 5);
  for (const auto& [id, text] : file.metadata) {
    INFO(text);
    const OneCycleOptions options = one_cycle_of(nlohmann::json::parse(text));
    Sgd sgd = two_groups(0.9);
    Adam adam({Tensor::zeros({1}).set_requires_grad()});
    adam.add_group({Tensor::zeros({1}).set_requires_grad()}, {});
    OneCycleLR of_sgd(sgd, options), of_adam(adam, options);
    const std::vector<double> wanted = values(stored.at(id + ".SGD")), beta1 = values(stored.at(id + ".Adam"));
    REQUIRE(beta1.size() == static_cast<std::size_t>(options.total_steps));
    double worst = 0;
    for (std::size_t step = 0; step < beta1.size(); ++step) {
      worst = std::max({worst, relative(sgd.lr(0), wanted[3 * step]), relative(sgd.lr(1), wanted[3 * step + 1]),
                        relative(sgd.momentum(), wanted[3 * step + 2]), relative(adam.momentum(), beta1[step])});
      CHECK(adam.lr(1) == sgd.lr(1));
      of_sgd.step(), of_adam.step();
    }
    CHECK(worst < pytorch_rounding);
    const double end = sgd.lr();
    CHECK(error_text<Error>([&] { of_sgd.step(); }) ==
          fmt::format("OneCycleLR: this is step {0}, but total_steps is {1}; give the batches of all epochs, and step once a batch",
                      options.total_steps + 1, options.total_steps));
    CHECK(sgd.lr() == end);
  }
}

TEST_CASE("a schedule's state goes on to the bit, whatever was made anew, by PyTorch's names") {
  using Make = std::function<std::unique_ptr<Schedule>(Optimizer&)>;
  const auto parts = [](Optimizer& o) {
    Parts made;
    made.push_back(std::make_unique<LinearLR>(o, 0.1, 1, 6));
    made.push_back(std::make_unique<CosineAnnealingLR>(o, 9, 0.001));
    return made;
  };
  const std::vector<Make> makers{
      [](Optimizer& o) { return std::make_unique<StepLR>(o, 3, 0.7); },
      [](Optimizer& o) { return std::make_unique<CosineAnnealingLR>(o, 7, 0.01); },
      [](Optimizer& o) { return std::make_unique<OneCycleLR>(o, OneCycleOptions{.max_lr = {0.3}, .total_steps = 30}); },
      [](Optimizer& o) { return std::make_unique<ReduceLROnPlateau>(o, PlateauOptions{.factor = 0.8, .patience = 1, .cooldown = 1}); },
      [&](Optimizer& o) { return std::make_unique<SequentialLR>(o, parts(o), std::vector<std::int64_t>{6}); },
      [&](Optimizer& o) { return std::make_unique<ChainedScheduler>(o, parts(o)); }};
  const auto metric = [](int step) { return std::sin(step * 1.7) + 2; };
  for (std::size_t m = 0; m < makers.size(); ++m)
    for (const int saved : {3, 6, 11}) {
      INFO(m << ", saved after " << saved);
      Sgd all = two_groups(0.9), fresh = two_groups(0.9);
      const auto through = makers[m](all);
      Schedule::State state;
      for (int step = 0; step < saved; ++step) through->step(metric(step));
      state = through->state();
      fresh.set_lr(0, 7);  // its schedule is made for other rates
      const auto after = makers[m](fresh);
      after->load_state(state);
      for (int step = saved; step < 25; ++step) {
        for (const std::size_t g : {0, 1}) CHECK(fresh.lr(g) == all.lr(g));
        CHECK(fresh.momentum() == all.momentum());
        through->step(metric(step)), after->step(metric(step));
      }
    }
  Sgd sgd = two_groups();
  const auto keys = [](Schedule& schedule) {
    std::vector<std::string> all;
    for (const auto& [key, tensor] : schedule.state()) all.push_back(key);
    return all;
  };
  ReduceLROnPlateau plateau(sgd);
  CHECK(keys(plateau) == std::vector<std::string>{"last_epoch", "base_lrs", "best", "num_bad_epochs", "cooldown_counter", "_last_lr"});
  ChainedScheduler chained(sgd, parts(sgd));
  CHECK(keys(chained) == std::vector<std::string>{"last_epoch", "base_lrs", "_schedulers.0.last_epoch", "_schedulers.0.base_lrs",
                                                  "_schedulers.1.last_epoch", "_schedulers.1.base_lrs", "_last_lr"});
}

TEST_CASE("a state of another schedule is an error that names the key and changes nothing") {
  Sgd sgd = two_groups();
  StepLR schedule(sgd, 1, 0.5);
  schedule.step();
  const Schedule::State good = schedule.state();
  schedule.step();
  const auto refusal = [&](const Schedule::State& bad) {
    const std::string text = error_text<Error>([&] { schedule.load_state(bad); });
    CHECK(schedule.state()[0].second.item<std::int64_t>() == 2);
    CHECK(sgd.lr() == 0.125);
    return text;
  };
  Schedule::State bad = good;
  bad[1].second = Tensor::zeros({3}, DType::f64);
  CHECK(refusal(bad) == "load_state: the state is of another schedule: base_lrs is 3, expected 2");
  bad = good;
  bad.pop_back();
  CHECK(refusal(bad) == "load_state: the state is of another schedule: missing _last_lr");
  bad = good;
  bad.emplace_back("best", Tensor::zeros({}, DType::f64));
  CHECK(refusal(bad) == "load_state: the state is of another schedule: unexpected best");
  bad = good;
  bad[2].second = Tensor::from<double>({0.1, -1}, {2});
  CHECK(refusal(bad) == "load_state: the state is of another schedule: _last_lr has -1, expected rates of 0 or more");
  schedule.load_state(good);
  CHECK(sgd.lr() == 0.25);
}

TEST_CASE("a warm-up may be followed by ReduceLROnPlateau, which begins to watch there") {
  Sgd sgd = two_groups();
  Parts parts;
  parts.push_back(std::make_unique<LinearLR>(sgd, 0.5, 1, 2));
  parts.push_back(std::make_unique<ReduceLROnPlateau>(sgd, PlateauOptions{.factor = 0.5, .patience = 0}));
  SequentialLR schedule(sgd, std::move(parts), {2});
  CHECK(sgd.lr() == 0.25);
  for (const double rate : {0.375, 0.5, 0.5, 0.25}) {
    schedule.step(3);
    CHECK(sgd.lr() == rate);
  }
}

TEST_CASE("schedules reject what makes no sense") {
  Sgd sgd = two_groups(), other = two_groups();
  CHECK(error_text<Error>([&] { StepLR(sgd, 0); }) == "StepLR: expected a step size of 1 epoch or more, got 0");
  CHECK(error_text<Error>([&] { LinearLR(sgd, 0); }) == "LinearLR: expected a start_factor above 0 and up to 1, got 0");
  CHECK(error_text<Error>([&] { LinearLR(sgd, 0.5, 2); }) == "LinearLR: expected an end_factor from 0 to 1, got 2");
  CHECK(error_text<Error>([&] { LinearLR(sgd, 0.5, 1, 0); }) == "LinearLR: expected total_iters of 1 or more, got 0");
  CHECK(error_text<Error>([&] { CosineAnnealingLR(sgd, 0); }) == "CosineAnnealingLR: expected a T_max of 1 epoch or more, got 0");
  CHECK(error_text<Error>([&] { CosineAnnealingLR(sgd, 5, -1); }) == "CosineAnnealingLR: expected an eta_min of 0 or more, got -1");
  CHECK(error_text<Error>([&] { OneCycleLR(sgd, {.max_lr = {1}}); }) ==
        "OneCycleLR: expected total_steps of 1 or more, batches an epoch times epochs, got 0");
  CHECK(error_text<Error>([&] { OneCycleLR(sgd, {.max_lr = {}, .total_steps = 5}); }) ==
        "OneCycleLR: expected one max_lr, or one for each of 2 groups, got 0");
  CHECK(error_text<Error>([&] { OneCycleLR(sgd, {.max_lr = {1}, .total_steps = 5, .pct_start = 2}); }) ==
        "OneCycleLR: expected a pct_start from 0 to 1, got 2");
  CHECK(error_text<Error>([&] { OneCycleLR(sgd, {.max_lr = {1}, .total_steps = 5, .div_factor = 0}); }) ==
        "OneCycleLR: expected div_factor and final_div_factor above 0, got 0 and 10000");
  CHECK(error_text<Error>([&] { OneCycleLR(sgd, {.max_lr = {1}, .total_steps = 5}); }) ==
        "optimizer: group 0 has no momentum that could change; make it with one above 0 (or OneCycleLR without cycle_momentum)");
  CHECK(sgd.lr() == 0.5);
  CHECK(error_text<Error>([&] { ChainedScheduler(sgd, {}); }) == "ChainedScheduler: expected one schedule or more, got none");
  const auto parts = [](Optimizer& a, Optimizer& b) {
    Parts made;
    made.push_back(std::make_unique<StepLR>(a, 1)), made.push_back(std::make_unique<StepLR>(b, 1));
    return made;
  };
  CHECK(error_text<Error>([&] { ChainedScheduler(sgd, parts(sgd, other)); }) ==
        "ChainedScheduler: schedule 1 is of another optimizer; make all of them for the one that is given here");
  CHECK(error_text<Error>([&] { SequentialLR(sgd, parts(sgd, sgd), {}); }) ==
        "SequentialLR: expected a milestone between any two schedules, 1 for 2, got 0");
  Parts three = parts(sgd, sgd);
  three.push_back(std::make_unique<StepLR>(sgd, 1));
  CHECK(error_text<Error>([&] { SequentialLR(sgd, std::move(three), {5, 3}); }) == "SequentialLR: expected milestones in ascending order");
}

TEST_CASE("EarlyStopping stops after `patience` epochs in a row that are no better, NaN among them, and goes on from its state") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EarlyStopping lower({.patience = 2, .min_delta = 0.1});
  CHECK_FALSE(lower.step(1));
  CHECK(lower.improved());
  CHECK_FALSE(lower.step(0.95));  // by less than 0.1
  CHECK_FALSE(lower.improved());
  CHECK_FALSE(lower.step(0.85));
  CHECK(lower.best() == 0.85);
  CHECK_FALSE(lower.step(nan));
  EarlyStopping resumed({.patience = 2, .min_delta = 0.1});
  resumed.load_state(lower.state());
  CHECK(lower.step(0.8));
  CHECK(resumed.step(0.8));
  EarlyStopping higher({.patience = 1, .mode = PlateauMode::max});
  CHECK_FALSE(higher.step(1));
  CHECK_FALSE(higher.step(2));
  CHECK(higher.step(2));
  CHECK(error_text<Error>([&] { higher.load_state({}); }) == "load_state: the state is of another early stopping: missing best");
  CHECK(error_text<Error>([] { EarlyStopping({.patience = 0}); }) == "EarlyStopping: expected a patience of 1 epoch or more, got 0");
  CHECK(error_text<Error>([] { EarlyStopping({.min_delta = -1}); }) == "EarlyStopping: expected a min_delta of 0 or more, got -1");
}
