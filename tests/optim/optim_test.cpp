#include "../catch.h"
#include "../compare.h"
#include "../project_file.h"

#include <mica/core/error.h>
#include <mica/core/safetensors.h>
#include <mica/optim/adam.h>
#include <mica/optim/rmsprop.h>
#include <mica/optim/schedule.h>
#include <mica/optim/sgd.h>

#include <nlohmann/json.hpp>

#include <cmath>

using namespace mica;
using namespace mica::test;

namespace {

template <class Options>
Options options_of(const nlohmann::json& j) {
  Options o;
  o.lr = j.value("lr", o.lr);
  o.weight_decay = j.value("weight_decay", o.weight_decay);
  if constexpr (requires { o.betas; }) o.betas = j.value("betas", o.betas);
  if constexpr (requires { o.eps; }) o.eps = j.value("eps", o.eps);
  if constexpr (requires { o.momentum; }) o.momentum = j.value("momentum", o.momentum);
  if constexpr (requires { o.dampening; }) o.dampening = j.value("dampening", o.dampening);
  if constexpr (requires { o.nesterov; }) o.nesterov = j.value("nesterov", o.nesterov);
  if constexpr (requires { o.alpha; }) o.alpha = j.value("alpha", o.alpha);
  if constexpr (requires { o.centered; }) o.centered = j.value("centered", o.centered);
  return o;
}

// Every stored case of the rule, step by step. Gives the largest difference from PyTorch's parameters.
template <class Rule, class Options>
double difference_from_pytorch(const std::string& name, std::size_t cases, DType dtype) {
  const Safetensors file = load_safetensors(project_file("tests/pytorch/" + name + ".safetensors"));
  const std::map<std::string, Tensor> stored(file.tensors.begin(), file.tensors.end());
  REQUIRE(file.metadata.size() == cases);
  double worst = 0;
  for (const auto& [id, text] : file.metadata) {
    const auto j = nlohmann::json::parse(text);
    std::vector<Tensor> parameters;
    for (const char* i : {".0", ".1"}) parameters.push_back(stored.at(id + i + ".start").clone().to(dtype).set_requires_grad());
    const Tensor other = Tensor::ones({2}, dtype).set_requires_grad();  // never has a gradient
    Rule rule({parameters[0]}, options_of<Options>(j["groups"][0]));
    rule.add_group({other, parameters[1]}, options_of<Options>(j["groups"][1]));
    for (int step = 0; step < 36; ++step) {
      if (step == 18 && !j["momentum"].is_null())
        for (const std::size_t group : {0, 1}) rule.set_momentum(group, j["momentum"]);
      for (std::size_t i = 0; i < 2; ++i) {
        const Tensor gradient = stored.at(id + "." + std::to_string(i) + ".gradients")[step].to(dtype);
        parameters[i].set_grad(std::isnan(values(gradient)[0]) ? Tensor() : gradient.clone());
      }
      rule.step();
      for (std::size_t i = 0; i < 2; ++i) {
        const std::string key = id + "." + std::to_string(i);
        worst = std::max(worst, difference(parameters[i].detach(), stored.at(key + ".after")[step]));
        if (parameters[i].grad().defined()) CHECK(same_bits(parameters[i].grad(), stored.at(key + ".gradients")[step].to(dtype)));
      }
    }
    CHECK(values(other) == std::vector<double>{1, 1});
    rule.zero_grad();
    CHECK(!parameters[1].grad().defined());
  }
  return worst;
}

}  // namespace

TEST_CASE("optimizers equal PyTorch's, step by step, with groups, gradients that are missing, and momentum that changes") {
  for (const DType dtype : {DType::f64, DType::f32}) {
    const double rounding = dtype == DType::f64 ? 1e-14 : 1e-5;  // of 36 steps; f32's unit is 6e-8
    CHECK(difference_from_pytorch<Sgd, SgdOptions>("sgd", 3, dtype) < (dtype == DType::f64 ? 1e-15 : 1e-5));
    CHECK(difference_from_pytorch<Adam, AdamOptions>("adam", 3, dtype) < rounding);
    CHECK(difference_from_pytorch<AdamW, AdamWOptions>("adamw", 3, dtype) < rounding);
    CHECK(difference_from_pytorch<RMSprop, RMSpropOptions>("rmsprop", 4, dtype) < rounding);
  }
}

TEST_CASE("AdamW's weight decay is 0.01 unless it is given, and works without a gradient's scale") {
  const Tensor p = Tensor::full({2}, 4, DType::f64).set_requires_grad();
  AdamW rule({p}, {.lr = 0.5});
  p.set_grad(Tensor::zeros({2}, DType::f64));
  rule.step();
  CHECK(values(p)[0] == Approx(4 * (1 - 0.5 * 0.01)));
}

TEST_CASE("a group's momentum is read and changed; one without is an error") {
  const auto parameter = [] { return Tensor::zeros({3}).set_requires_grad(); };
  Sgd sgd({parameter()}, {.momentum = 0.9});
  sgd.add_group({parameter()}, {});
  sgd.set_momentum(0, 0.7);
  CHECK(sgd.momentum() == 0.7);
  const std::string none = "optimizer: group 1 has no momentum that could change; make it with one above 0 (or OneCycleLR without cycle_momentum)";
  CHECK(error_text<Error>([&] { sgd.set_momentum(1, 0.7); }) == none);
  CHECK(error_text<Error>([&] { sgd.momentum(1); }) == none);
  for (const double bad : {0.0, 1.0, -0.5, std::nan("")}) CHECK_THROWS_AS(sgd.set_momentum(0, bad), Error);
  CHECK(error_text<Error>([&] { sgd.set_momentum(0, 1); }) == "optimizer: expected a momentum above 0 and below 1, got 1");
  CHECK(sgd.momentum() == 0.7);
  Adam adam({parameter()});
  CHECK(adam.momentum() == 0.9);
  RMSprop rmsprop({parameter()});
  CHECK_THROWS_AS(rmsprop.momentum(), Error);
}

TEST_CASE("parameter groups have rates of their own, and StepLR scales each") {
  const Tensor a = Tensor::zeros({1}, DType::f64).set_requires_grad(), b = Tensor::zeros({1}, DType::f64).set_requires_grad();
  Sgd sgd({a}, {.lr = 1});
  sgd.add_group({b}, {.lr = 0.5});
  StepLR schedule(sgd, 2, 0.1);
  for (int epoch = 0; epoch < 5; ++epoch) schedule.step();
  CHECK(sgd.lr(0) == Approx(0.01));
  CHECK(sgd.lr(1) == Approx(0.005));
  a.set_grad(Tensor::ones({1}, DType::f64));
  b.set_grad(Tensor::ones({1}, DType::f64));
  sgd.step();
  CHECK(a.item<double>() == Approx(-0.01));
  CHECK(b.item<double>() == Approx(-0.005));
}

TEST_CASE("optimizers reject what makes no sense") {
  const Tensor a = Tensor::zeros({3}).set_requires_grad();
  CHECK(error_text<Error>([&] { Sgd({a}, {.lr = -1}); }) == "optimizer: expected a learning rate of 0 or more, got -1");
  CHECK(error_text<Error>([&] { Sgd({a}, {.nesterov = true}); }) ==
        "Sgd: nesterov needs momentum and no dampening, got momentum 0 and dampening 0");
  CHECK(error_text<Error>([&] { Sgd({}, {}); }) == "optimizer: a group has no parameters; give the result of parameters()");
  CHECK(error_text<Error>([&] { Sgd({Tensor::zeros({3})}, {}); }) ==
        "optimizer: a parameter of shape 3 is not a leaf that requires a gradient");
  CHECK(error_text<Error>([&] { Sgd({a}, {}).add_group({a}, {}); }) == "optimizer: a parameter of shape 3 is given twice");
  CHECK(error_text<Error>([&] { Sgd({a, a}, {}); }) == "optimizer: a parameter of shape 3 is given twice");
  CHECK(error_text<Error>([&] { AdamW({a}, {.betas = {0.9, 1}}); }) == "AdamW: expected betas from 0 to below 1, got 0.9 and 1");
  CHECK(error_text<Error>([&] { RMSprop({a}, {.alpha = 1.5}); }) == "RMSprop: expected an alpha from 0 to 1, got 1.5");
  CHECK(error_text<Error>([&] { RMSprop({a}, {.momentum = -1}); }) ==
        "RMSprop: expected eps, weight_decay and momentum of 0 or more, got 1e-08, 0 and -1");
}
