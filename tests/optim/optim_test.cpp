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

TEST_CASE("SGD equals torch.optim.SGD, step by step") {
  const Safetensors file = load_safetensors(project_file("tests/pytorch/sgd.safetensors"));
  const std::map<std::string, Tensor> stored(file.tensors.begin(), file.tensors.end());
  REQUIRE(file.metadata.size() == 5);
  for (const auto& [id, text] : file.metadata) {
    INFO(text);
    const auto j = nlohmann::json::parse(text);
    Tensor parameter = stored.at(id + ".start").clone().set_requires_grad();
    const Tensor other = Tensor::ones({2}, DType::f64).set_requires_grad();  // never has a gradient
    Sgd sgd({parameter, other}, {j.at("lr"), j.value("momentum", 0.0), j.value("dampening", 0.0), j.value("weight_decay", 0.0),
                                 j.value("nesterov", false)});
    for (int step = 0; step < 5; ++step) {
      const Tensor gradient = stored.at(id + ".gradients")[step];
      parameter.set_grad(gradient);
      sgd.step();
      CHECK(difference(parameter.detach(), stored.at(id + ".after")[step]) < 1e-15);
      CHECK(same_bits(parameter.grad(), gradient));
    }
    CHECK(values(other) == std::vector<double>{1, 1});
    sgd.zero_grad();
    CHECK(!parameter.grad().defined());
  }
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
  Sgd sgd({a}, {});
  CHECK(error_text<Error>([&] { StepLR(sgd, 0); }) == "StepLR: expected a step size of 1 epoch or more, got 0");
}
