#include "../catch.h"
#include "../compare.h"
#include "../project_file.h"

#include <mica/core/context.h>
#include <mica/core/error.h>
#include <mica/core/random.h>
#include <mica/core/safetensors.h>
#include <mica/optim/adam.h>
#include <mica/optim/sgd.h>

#include <nlohmann/json.hpp>

#include <algorithm>

using namespace mica;
using namespace mica::test;

namespace {

Tensor noise(const Shape& shape, const char* use, DType dtype = DType::f32) {
  Tensor x = Tensor::empty(shape, dtype);
  uniform_(x, -1, 1, random_key(use));
  return x;
}

void run_steps(Optimizer& optimizer, const std::vector<Tensor>& parameters, int from, int to) {
  for (int step = from; step < to; ++step) {
    for (std::size_t i = 0; i < parameters.size(); ++i)
      if (step % 3 != static_cast<int>(i))  // each parameter is skipped now and then
        parameters[i].set_grad(noise(parameters[i].shape(), ("gradient" + std::to_string(step)).c_str(), parameters[i].dtype()));
    optimizer.step();
    optimizer.zero_grad();
  }
}

}  // namespace

TEST_CASE("Adam equals torch.optim.Adam, step by step, and counts the steps of each parameter") {
  const Safetensors file = load_safetensors(project_file("tests/pytorch/adam.safetensors"));
  const std::map<std::string, Tensor> stored(file.tensors.begin(), file.tensors.end());
  REQUIRE(file.metadata.size() == 5);
  for (const DType dtype : {DType::f64, DType::f32})
    for (const auto& [id, text] : file.metadata) {
      INFO(text);
      const auto j = nlohmann::json::parse(text);
      AdamOptions options;
      options.lr = j.value("lr", options.lr);
      options.betas = j.value("betas", options.betas);
      options.eps = j.value("eps", options.eps);
      options.weight_decay = j.value("weight_decay", options.weight_decay);
      std::vector<Tensor> parameters;
      for (const char* i : {"0", "1"})
        parameters.push_back(stored.at(id + "." + i + ".start").clone().to(dtype).set_requires_grad());
      Adam adam(parameters, options);
      double worst = 0;
      for (int step = 0; step < 30; ++step) {
        for (std::size_t i = 0; i < 2; ++i) {
          const Tensor gradient = stored.at(id + "." + std::to_string(i) + ".gradients")[step].to(dtype);
          parameters[i].set_grad(std::isnan(values(gradient)[0]) ? Tensor() : gradient);
        }
        adam.step();
        for (std::size_t i = 0; i < 2; ++i)
          worst = std::max(worst, difference(parameters[i].detach(), stored.at(id + "." + std::to_string(i) + ".after")[step]));
      }
      CHECK(worst < (dtype == DType::f64 ? 1e-14 : 1e-5));  // rounding of 30 steps; f32's unit is 6e-8
    }
}

TEST_CASE("Adam's vector loops give the same bits for any number of threads and any split into parameters") {
  const std::int64_t n = 100003;
  const Tensor start = noise({n}, "start"), gradient = noise({n}, "gradient");
  const auto after = [&](int threads, std::int64_t parts) {
    const int before = num_threads();
    set_num_threads(threads);
    std::vector<Tensor> parameters;
    for (std::int64_t i = 0; i < parts; ++i) parameters.push_back(start.slice(n * i / parts, n * (i + 1) / parts).clone().set_requires_grad());
    Adam adam(parameters, {.lr = 0.1, .weight_decay = 0.01});
    for (int step = 0; step < 3; ++step) {
      for (std::int64_t i = 0; i < parts; ++i)
        parameters[static_cast<std::size_t>(i)].set_grad(gradient.slice(n * i / parts, n * (i + 1) / parts).clone());
      adam.step();
    }
    set_num_threads(before);
    std::vector<double> all;
    for (const Tensor& p : parameters)
      for (const double v : values(p)) all.push_back(v);
    return all;
  };
  const std::vector<double> one = after(1, 1);
  CHECK(after(2, 1) == one);
  CHECK(after(4, 1) == one);
  CHECK(after(2, 37) == one);
  CHECK(one != values(start));
}

TEST_CASE("one group may hold f32 and f64, and follows a conversion") {
  for (const bool momentum : {false, true}) {
    INFO(momentum);
    const std::vector<Tensor> parameters{Tensor::ones({3}).set_requires_grad(), Tensor::ones({2}, DType::f64).set_requires_grad()};
    std::unique_ptr<Optimizer> optimizer;
    if (momentum) optimizer = std::make_unique<Sgd>(parameters, SgdOptions{.lr = 0.5, .momentum = 0.5});
    else optimizer = std::make_unique<Adam>(parameters, AdamOptions{.lr = 0.5});
    for (const Tensor& p : parameters) p.set_grad(Tensor::ones(p.shape(), p.dtype()));
    optimizer->step();
    CHECK(values(parameters[0])[2] == Approx(0.5));
    CHECK(values(parameters[1])[1] == Approx(0.5));
    Tensor converted = parameters[0];
    converted.adopt(converted.detach().to(DType::f64));
    converted.set_grad(Tensor::ones({3}, DType::f64));
    optimizer->step();
    CHECK(values(parameters[0])[2] == Approx(momentum ? -0.25 : 0).margin(1e-7));
  }
}

TEST_CASE("an optimizer's state is taken on to the bit, by PyTorch's names") {
  const auto fresh = [] {
    return std::vector<Tensor>{noise({5}, "a").set_requires_grad(), noise({2, 3}, "b", DType::f64).set_requires_grad(),
                               noise({1}, "never").set_requires_grad()};
  };
  const auto make = [](bool adam, const std::vector<Tensor>& p) -> std::unique_ptr<Optimizer> {
    if (adam) {
      auto optimizer = std::make_unique<Adam>(std::vector<Tensor>{p[0]}, AdamOptions{.lr = 0.1});
      optimizer->add_group({p[1], p[2]}, {.lr = 0.2, .weight_decay = 0.1});
      return optimizer;
    }
    auto optimizer = std::make_unique<Sgd>(std::vector<Tensor>{p[0]}, SgdOptions{.lr = 0.1, .momentum = 0.9, .dampening = 0.5});
    optimizer->add_group({p[1], p[2]}, {.lr = 0.2});
    return optimizer;
  };
  for (const bool adam : {true, false}) {
    INFO(adam);
    const std::vector<Tensor> through = fresh(), first = fresh(), second = fresh();
    const auto all = make(adam, through), before = make(adam, first), after = make(adam, second);
    run_steps(*all, {through[0], through[1]}, 0, 10);
    run_steps(*before, {first[0], first[1]}, 0, 4);
    const Optimizer::State state = before->state();
    std::vector<std::string> keys;
    for (const auto& [key, tensor] : state) keys.push_back(key);
    CHECK(keys == (adam ? std::vector<std::string>{"param_groups.0.lr", "state.0.step", "state.0.exp_avg", "state.0.exp_avg_sq",
                                                   "param_groups.1.lr", "state.1.step", "state.1.exp_avg", "state.1.exp_avg_sq"}
                        : std::vector<std::string>{"param_groups.0.lr", "state.0.step", "state.0.momentum_buffer", "param_groups.1.lr",
                                                   "state.1.step"}));
    after->set_lr(0, 7);
    run_steps(*after, {second[0], second[1]}, 50, 52);  // forgotten by the load
    for (const std::size_t i : {0, 1}) second[i].detach().copy_(first[i].detach());
    run_steps(*before, {first[0], first[1]}, 4, 5);  // changes no tensor of the state, which are copies
    after->load_state(state);
    run_steps(*after, {second[0], second[1]}, 4, 10);
    for (const std::size_t i : {0, 1}) CHECK(same_bits(second[i].detach(), through[i].detach()));
  }
}

TEST_CASE("a state of another optimizer is an error that changes nothing") {
  const Tensor a = Tensor::ones({3}).set_requires_grad();
  Adam adam({a}, {.lr = 0.25});
  run_steps(adam, {a}, 1, 3);
  const Optimizer::State good = adam.state();
  const auto refusal = [&](const Optimizer::State& bad) {
    const std::string text = error_text<Error>([&] { adam.load_state(bad); });
    CHECK(same_bits(adam.state()[2].second, good[2].second));
    CHECK(adam.lr() == 0.25);
    return text;
  };
  Optimizer::State bad = good;
  bad[0].second = Tensor::ones({}, DType::f64);
  bad[2].second = Tensor::zeros({4});
  CHECK(refusal(bad) == "load_state: the state is of another optimizer: state.0.exp_avg is 4, expected 3");
  bad = good;
  bad.pop_back();
  CHECK(refusal(bad) == "load_state: the state is of another optimizer: missing state.0.exp_avg_sq");
  bad = good;
  bad.emplace_back("state.1.step", Tensor::from<std::int64_t>({1}, {}));
  CHECK(refusal(bad) == "load_state: the state is of another optimizer: unexpected state.1.step");
}

TEST_CASE("Adam rejects what torch.optim.Adam rejects, and a refused group leaves no trace") {
  const Tensor a = Tensor::zeros({3}).set_requires_grad(), b = Tensor::zeros({3}).set_requires_grad();
  CHECK(error_text<Error>([&] { Adam({a}, {.lr = -1}); }) == "optimizer: expected a learning rate of 0 or more, got -1");
  CHECK(error_text<Error>([&] { Adam({a}, {.betas = {0.9, 1}}); }) == "Adam: expected betas from 0 to below 1, got 0.9 and 1");
  CHECK(error_text<Error>([&] { Adam({a}, {.betas = {-0.1, 0.9}}); }) == "Adam: expected betas from 0 to below 1, got -0.1 and 0.9");
  CHECK(error_text<Error>([&] { Adam({a}, {.eps = -1}); }) == "Adam: expected eps and weight_decay of 0 or more, got -1 and 0");
  CHECK(error_text<Error>([&] { Adam({a}, {.weight_decay = -2}); }) == "Adam: expected eps and weight_decay of 0 or more, got 1e-08 and -2");
  Adam adam({a});
  CHECK(error_text<Error>([&] { adam.add_group({b}, {.lr = -1}); }) == "optimizer: expected a learning rate of 0 or more, got -1");
  CHECK(adam.group_count() == 1);
  b.set_grad(Tensor::ones({3}));
  adam.step();
  CHECK(largest(b) == 0);
}
