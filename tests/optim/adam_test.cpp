#include "../catch.h"
#include "../compare.h"

#include <mica/core/context.h>
#include <mica/core/error.h>
#include <mica/core/random.h>
#include <mica/optim/adam.h>
#include <mica/optim/rmsprop.h>
#include <mica/optim/sgd.h>

#include <map>
#include <memory>

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

TEST_CASE("optimizers' vector loops give the same bits for any number of threads and any split into parameters") {
  const std::int64_t n = 100003;
  const Tensor start = noise({n}, "start"), gradient = noise({n}, "gradient");
  const auto after = [&](const auto& make, int threads, std::int64_t parts) {
    const int before = num_threads();
    set_num_threads(threads);
    std::vector<Tensor> parameters;
    for (std::int64_t i = 0; i < parts; ++i) parameters.push_back(start.slice(n * i / parts, n * (i + 1) / parts).clone().set_requires_grad());
    const auto rule = make(parameters);
    for (int step = 0; step < 3; ++step) {
      for (std::int64_t i = 0; i < parts; ++i)
        parameters[static_cast<std::size_t>(i)].set_grad(gradient.slice(n * i / parts, n * (i + 1) / parts).clone());
      rule->step();
    }
    set_num_threads(before);
    std::vector<double> all;
    for (const Tensor& p : parameters)
      for (const double v : values(p)) all.push_back(v);
    return all;
  };
  const auto check = [&](const auto& make) {
    const std::vector<double> one = after(make, 1, 1);
    CHECK(after(make, 2, 1) == one);
    CHECK(after(make, 4, 1) == one);
    CHECK(after(make, 2, 37) == one);
    CHECK(one != values(start));
  };
  using P = const std::vector<Tensor>&;
  check([](P p) { return std::make_unique<Adam>(p, AdamOptions{.lr = 0.1, .weight_decay = 0.01}); });
  check([](P p) { return std::make_unique<AdamW>(p, AdamWOptions{.lr = 0.1}); });
  for (const bool centered : {false, true})
    for (const double momentum : {0.0, 0.9})
      check([&](P p) { return std::make_unique<RMSprop>(p, RMSpropOptions{.momentum = momentum, .centered = centered}); });
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
  enum Rule { adam, sgd, rmsprop };
  const auto make = [](Rule rule, const std::vector<Tensor>& p) -> std::unique_ptr<Optimizer> {
    const auto both = [&](auto optimizer, const auto& second) {
      optimizer->add_group({p[1], p[2]}, second);
      return optimizer;
    };
    const std::vector<Tensor> first{p[0]};
    if (rule == adam) return both(std::make_unique<Adam>(first, AdamOptions{.lr = 0.1}), AdamOptions{.lr = 0.2, .weight_decay = 0.1});
    if (rule == sgd) return both(std::make_unique<Sgd>(first, SgdOptions{.lr = 0.1, .momentum = 0.9, .dampening = 0.5}), SgdOptions{.lr = 0.2});
    return both(std::make_unique<RMSprop>(first, RMSpropOptions{.momentum = 0.5, .centered = true}), RMSpropOptions{.lr = 0.2});
  };
  const std::map<Rule, std::vector<std::string>> wanted{
      {adam, {"param_groups.0.lr", "state.0.step", "state.0.exp_avg", "state.0.exp_avg_sq", "param_groups.1.lr", "state.1.step",
              "state.1.exp_avg", "state.1.exp_avg_sq"}},
      {sgd, {"param_groups.0.lr", "state.0.step", "state.0.momentum_buffer", "param_groups.1.lr", "state.1.step"}},
      {rmsprop, {"param_groups.0.lr", "state.0.step", "state.0.square_avg", "state.0.momentum_buffer", "state.0.grad_avg",
                 "param_groups.1.lr", "state.1.step", "state.1.square_avg"}}};
  for (const Rule rule : {adam, sgd, rmsprop}) {
    INFO(rule);
    const std::vector<Tensor> through = fresh(), first = fresh(), second = fresh();
    const auto all = make(rule, through), before = make(rule, first), after = make(rule, second);
    run_steps(*all, {through[0], through[1]}, 0, 10);
    run_steps(*before, {first[0], first[1]}, 0, 4);
    const Optimizer::State state = before->state();
    std::vector<std::string> keys;
    for (const auto& [key, tensor] : state) keys.push_back(key);
    CHECK(keys == wanted.at(rule));
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
