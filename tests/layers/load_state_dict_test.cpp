#include "../catch.h"
#include "../compare.h"

#include <mica/core/error.h>
#include <mica/core/random.h>
#include <mica/layers/layers.h>

#include <algorithm>

using namespace mica;
using namespace mica::test;

namespace {

Sequential network() {
  Sequential net;
  net.add("conv1", Conv2d(1, 4, 3)).add("norm1", BatchNorm2d(4)).add("fc", Linear(4, 2));
  return net;
}

// A state with the keys and shapes of network(), all values 7.
StateDict sevens() {
  StateDict state = network().state_dict();
  for (auto& [key, tensor] : state) tensor = Tensor::full(tensor.shape(), 7, tensor.dtype());
  return state;
}

Tensor& at(StateDict& state, const std::string& key) {
  return std::find_if(state.begin(), state.end(), [&](const auto& item) { return item.first == key; })->second;
}

void rename(StateDict& state, const std::string& key, const std::string& to) {
  std::find_if(state.begin(), state.end(), [&](const auto& item) { return item.first == key; })->first = to;
}

// The text of the error; and nothing of the network has changed.
std::string load_error(const StateDict& state, bool strict = true) {
  Sequential net = network();
  std::vector<Tensor> before;
  for (const auto& [key, tensor] : net.state_dict()) before.push_back(tensor.detach().clone());
  const std::string text = error_text<Error>([&] { net.load_state_dict(state, strict); });
  const StateDict after = net.state_dict();
  for (std::size_t i = 0; i < before.size(); ++i) CHECK(same_bits(after[i].second.detach(), before[i]));
  return text;
}

}  // namespace

TEST_CASE("load_state_dict names everything that differs, and changes nothing") {
  StateDict state = sevens();
  rename(state, "conv1.weight", "conv1.wieght");
  rename(state, "norm1.running_mean", "ema");
  at(state, "fc.weight") = Tensor::zeros({2, 5});
  at(state, "norm1.bias") = Tensor::zeros({3});
  at(state, "fc.bias") = Tensor::zeros({2}, DType::i64);
  CHECK(load_error(state) ==
        "load_state_dict: the weights are of another network: norm1.bias is 3, expected 4; fc.weight is 2×5, expected 2×4; "
        "fc.bias is i64, expected f32; missing conv1.weight, norm1.running_mean; "
        "unexpected conv1.wieght (did you mean conv1.weight?), ema");
  CHECK(load_error(state, false) == "load_state_dict: the weights are of another network: norm1.bias is 3, expected 4; "
                                    "fc.weight is 2×5, expected 2×4; fc.bias is i64, expected f32");
}

TEST_CASE("load_state_dict counts what it does not name") {
  StateDict state;
  for (int i = 0; i < 12; ++i) state.emplace_back("features." + std::to_string(i) + ".weight", Tensor::zeros({1}));
  CHECK(load_error(state) ==
        "load_state_dict: the weights are of another network: missing conv1.weight, conv1.bias, norm1.weight, norm1.bias, "
        "norm1.running_mean and 4 more (9 in all); unexpected features.0.weight, features.1.weight, features.2.weight, "
        "features.3.weight, features.4.weight and 7 more (12 in all)");
  state = sevens();
  for (auto& [key, tensor] : state) tensor = Tensor::zeros({8});
  CHECK(load_error(state) ==
        "load_state_dict: the weights are of another network: conv1.weight is 8, expected 4×1×3×3; conv1.bias is 8, expected 4; "
        "norm1.weight is 8, expected 4; norm1.bias is 8, expected 4; norm1.running_mean is 8, expected 4 "
        "and 4 more of another shape or type (9 in all)");
  state = sevens();
  rename(state, "conv1.weight", "conv2.weight");    // one letter of a part
  rename(state, "norm1.weight", "norm1.0.weight");  // a part more
  rename(state, "fc.weight", "classifier.weight");  // another word
  CHECK(load_error(state) ==
        "load_state_dict: the weights are of another network: missing conv1.weight, norm1.weight, fc.weight; "
        "unexpected conv2.weight (did you mean conv1.weight?), norm1.0.weight, classifier.weight");
}

TEST_CASE("load_state_dict that is not strict loads what has a place and reports the rest") {
  StateDict state = sevens();
  rename(state, "fc.weight", "head.weight");
  rename(state, "fc.bias", "head.bias");
  Sequential net = network();
  const Tensor fc = net.state_dict()[7].second.detach().clone();
  const IncompatibleKeys keys = net.load_state_dict(state, false);
  CHECK(keys.missing_keys == std::vector<std::string>{"fc.weight", "fc.bias"});
  CHECK(keys.unexpected_keys == std::vector<std::string>{"head.weight", "head.bias"});
  StateDict loaded = net.state_dict();
  CHECK(same_bits(at(loaded, "fc.weight").detach(), fc));
  for (const char* key : {"conv1.weight", "norm1.running_var", "norm1.num_batches_tracked"})
    CHECK(same_bits(at(loaded, key).detach(), at(state, key)));
  const IncompatibleKeys none = net.load_state_dict(sevens());
  CHECK(none.missing_keys.empty());
  CHECK(none.unexpected_keys.empty());
}

TEST_CASE("load_state_dict converts where values survive") {
  StateDict state = sevens();
  at(state, "conv1.weight") = at(state, "conv1.weight").to(DType::f64);
  at(state, "norm1.num_batches_tracked") = Tensor::full({}, 7, DType::i32);
  Sequential net = network();
  net.load_state_dict(state);
  StateDict loaded = net.state_dict();
  for (const auto& [key, tensor] : sevens()) CHECK(same_bits(at(loaded, key).detach(), tensor));
  at(state, "norm1.num_batches_tracked") = Tensor::full({}, 7);
  CHECK(load_error(state) ==
        "load_state_dict: the weights are of another network: norm1.num_batches_tracked is f32, expected i64");
}
