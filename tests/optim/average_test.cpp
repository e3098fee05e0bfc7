// Averages of weights beside PyTorch's AveragedModel, and in a network.
#include "../catch.h"
#include "../compare.h"
#include "../project_file.h"

#include <mica/core/error.h>
#include <mica/core/safetensors.h>
#include <mica/layers/layers.h>
#include <mica/layers/sequential.h>
#include <mica/optim/average.h>
#include <mica/optim/sgd.h>

#include <nlohmann/json.hpp>

using namespace mica;
using namespace mica::test;

namespace {

Sequential small_network() {
  Sequential net;
  net.add("fc", Linear(3, 2)), net.add("norm", BatchNorm1d(2));
  return net;
}

}  // namespace

TEST_CASE("ExponentialMovingAverage equals PyTorch's AveragedModel, update by update") {
  const Safetensors file = load_safetensors(project_file("tests/pytorch/average.safetensors"));
  const std::map<std::string, Tensor> stored(file.tensors.begin(), file.tensors.end());
  REQUIRE(file.metadata.size() == 5);
  for (const DType dtype : {DType::f64, DType::f32})
    for (const auto& [id, text] : file.metadata) {
      INFO(text << " " << name_of(dtype));
      NamedTensors values;
      for (const char* key : {"weight", "bias", "mean"}) values.emplace_back(key, stored.at(id + "." + key + ".start").clone().to(dtype));
      ExponentialMovingAverage average(values, nlohmann::json::parse(text)["decay"]);
      double worst = 0;
      for (int step = 0; step < 30; ++step) {
        for (auto& [key, value] : values) value.copy_(stored.at(id + "." + key + ".values")[step]);
        average.update();
        const NamedTensors state = average.state();
        REQUIRE(state.size() == 4);
        CHECK(state[0].second.item<std::int64_t>() == step + 1);
        for (std::size_t i = 1; i < 4; ++i) {
          CHECK(state[i].first == "module." + values[i - 1].first);
          worst = std::max(worst, difference(state[i].second, stored.at(id + "." + values[i - 1].first + ".after")[step]));
        }
      }
      CHECK(worst < (dtype == DType::f64 ? 1e-14 : 1e-6));  // rounding of 30 updates
    }
}

TEST_CASE("the averages of a network stand in for its weights, and go, when an exception passes too") {
  Sequential net = small_network();
  const Tensor weight = net.parameters()[0], x = Tensor::ones({4, 3});
  ExponentialMovingAverage average(net.state_dict(), 0.75);
  average.update();
  const std::vector<double> first = values(weight);
  for (int i = 0; i < 4; ++i) net(x);  // statistics move, batches are counted
  Tensor(weight.detach()).fill_(8);
  weight.set_grad(Tensor::full({2, 3}, 5));
  average.update();
  const void* const memory = weight.raw_data();
  net.eval();
  const Tensor own = net(x);
  try {
    const AveragedWeights in_use(average);
    CHECK(values(weight)[4] == Approx(0.75 * first[4] + 0.25 * 8));
    CHECK(difference(net(x), own) > 0.01);
    const StateDict saved = net.state_dict();
    CHECK(saved.back().first == "norm.num_batches_tracked");
    CHECK(saved.back().second.item<std::int64_t>() == 4);
    CHECK(error_text<Error>([&] { average.update(); }) ==
          "ExponentialMovingAverage: update while the averages are in the network; end AveragedWeights first");
    CHECK(error_text<Error>([&] { AveragedWeights again(average); }) ==
          "AveragedWeights: the averages are in the network already; end the other AveragedWeights first");
    throw Error("mine");
  } catch (const Error& error) {
    CHECK(std::string(error.what()) == "mine");
  }
  CHECK(values(weight) == std::vector<double>(6, 8));
  CHECK(weight.raw_data() == memory);
  CHECK(values(weight.grad()) == std::vector<double>(6, 5));
  CHECK(same_bits(net(x), own));
  average.update();
}

TEST_CASE("an average's state goes on to the bit; another network's is an error that changes nothing") {
  Sequential net = small_network();
  Sgd sgd(net.parameters(), {.lr = 0.1});
  const auto step = [&] {
    for (const Tensor& p : net.parameters()) p.set_grad(Tensor::full(p.shape(), 0.3));
    sgd.step();
  };
  ExponentialMovingAverage through(net.state_dict(), 0.9), before(net.state_dict(), 0.9), after(net.state_dict(), 0.9);
  for (int i = 0; i < 3; ++i) step(), through.update(), before.update();
  const NamedTensors state = before.state();
  step(), before.update();  // changes no tensor of the state, which are copies
  through.update();
  after.load_state(state);
  after.update();
  const NamedTensors a = after.state(), b = through.state();
  for (std::size_t i = 0; i < b.size(); ++i) CHECK(same_bits(a[i].second, b[i].second));

  NamedTensors bad = state;
  bad[1].second = Tensor::zeros({2, 3});
  bad.pop_back();
  CHECK(error_text<Error>([&] { after.load_state(bad); }) ==
        "load_state: the state is of another average: missing module.norm.num_batches_tracked");
  bad[2].second = Tensor::zeros({4});
  CHECK(error_text<Error>([&] { after.load_state(bad); }) == "load_state: the state is of another average: module.fc.bias is 4, expected 2");
  CHECK(same_bits(after.state()[1].second, a[1].second));
}

TEST_CASE("averages follow a network to another dtype, and weights with two names come back") {
  Tensor a = Tensor::full({2}, 3).set_requires_grad();
  ExponentialMovingAverage average({{"a", a}, {"b", a}}, 0.5);
  average.update();
  a.adopt(a.detach().to(DType::f64));
  Tensor(a.detach()).fill_(5);
  average.update();
  {
    const AveragedWeights in_use(average);
    CHECK(values(a) == std::vector<double>{4, 4});
    CHECK(a.dtype() == DType::f64);
  }
  CHECK(values(a) == std::vector<double>{5, 5});
  CHECK(error_text<Error>([&] { ExponentialMovingAverage({{"a", a}}, 1.5); }) ==
        "ExponentialMovingAverage: expected a decay from 0 to 1, got 1.5");
  CHECK(error_text<Error>([&] { ExponentialMovingAverage({}, 0.5); }) ==
        "ExponentialMovingAverage: there is nothing to average; give the result of state_dict()");
}
