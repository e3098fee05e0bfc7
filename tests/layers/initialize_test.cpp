#include "../catch.h"
#include "../compare.h"
#include "../project_file.h"

#include <mica/core/error.h>
#include <mica/core/safetensors.h>
#include <mica/layers/initialize.h>

#include <nlohmann/json.hpp>

using namespace mica;
using namespace mica::test;

namespace {

const std::map<std::string, Nonlinearity> nonlinearities{{"linear", Nonlinearity::linear},
                                                         {"sigmoid", Nonlinearity::sigmoid},
                                                         {"tanh", Nonlinearity::tanh},
                                                         {"relu", Nonlinearity::relu},
                                                         {"leaky_relu", Nonlinearity::leaky_relu}};

void initialize(Tensor& x, const nlohmann::json& j) {
  const std::string function = j["function"];
  const KaimingOptions kaiming{j.value("a", 0.0), j.value("mode", "fan_in") == "fan_in" ? FanMode::fan_in : FanMode::fan_out,
                               nonlinearities.at(j.value("nonlinearity", "leaky_relu"))};
  if (function == "xavier_uniform_") xavier_uniform_(x, j.value("gain", 1.0));
  else if (function == "xavier_normal_") xavier_normal_(x, j.value("gain", 1.0));
  else if (function == "kaiming_uniform_") kaiming_uniform_(x, kaiming);
  else if (function == "kaiming_normal_") kaiming_normal_(x, kaiming);
  else FAIL(function);
}

}  // namespace

TEST_CASE("initialisers draw with torch.nn.init's bound or deviation, to the bit") {
  const Safetensors file = load_safetensors(project_file("tests/pytorch/initialize.safetensors"));
  REQUIRE(file.tensors.size() == 130);
  for (const auto& [id, scale] : file.tensors) {
    const std::string& text = file.metadata.at(id);
    INFO(text);
    const auto j = nlohmann::json::parse(text);
    Tensor x = Tensor::empty(j["shape"].get<Shape>(), DType::f64).set_requires_grad(), expected = Tensor::empty(x.shape(), DType::f64);
    manual_seed(11);
    initialize(x, j);
    manual_seed(11);
    const double by = scale.item<double>();
    if (text.find("uniform_") != std::string::npos) uniform_(expected, -by, by);
    else normal_(expected, 0, by);
    CHECK(same_bits(x.detach(), expected));
    CHECK(x.requires_grad());
  }
}

TEST_CASE("normal_: moments, tails and independence of neighbours") {
  manual_seed(3);
  const std::int64_t n = 1000001;
  Tensor x = Tensor::empty({n}, DType::f64);
  normal_(x, 2, 3);
  double sum1 = 0, sum2 = 0, sum3 = 0, sum4 = 0, by_lag[3] = {}, before[3] = {};
  std::int64_t beyond = 0;
  for (const double v : values(x)) {
    const double z = (v - 2) / 3;
    sum1 += z, sum2 += z * z, sum3 += z * z * z, sum4 += z * z * z * z;
    for (int lag = 0; lag < 3; ++lag) by_lag[lag] += z * before[lag];
    before[2] = before[1], before[1] = before[0], before[0] = z;
    beyond += std::abs(z) > 3;
  }
  const double count = static_cast<double>(n), error = 1 / std::sqrt(count);  // five standard errors each
  CHECK(std::abs(sum1 / count) < 5 * error);
  CHECK(std::abs(sum2 / count - 1) < 5 * std::sqrt(2.0) * error);
  CHECK(std::abs(sum3 / count) < 5 * std::sqrt(15.0) * error);
  CHECK(std::abs(sum4 / count - 3) < 5 * std::sqrt(96.0) * error);
  for (const double lag : by_lag) CHECK(std::abs(lag / count) < 5 * error);
  CHECK(std::abs(static_cast<double>(beyond) / count - 0.0026998) < 5 * std::sqrt(0.0027) * error);
}

TEST_CASE("same seed, same bits; a prefix does not depend on the length; every filling differs") {
  Tensor a = Tensor::empty({7}), b = Tensor::empty({10}), c = Tensor::empty({7});
  for (const auto fill : {+[](Tensor& x) { normal_(x); }, +[](Tensor& x) { uniform_(x); }}) {
    manual_seed(5);
    fill(a);
    manual_seed(5);
    fill(b);
    CHECK(same_bits(a, b.slice(0, 7).clone()));
    fill(c);
    CHECK(!same_bits(a, c));
    manual_seed(6);
    fill(c);
    CHECK(!same_bits(a, c));
  }
  CHECK(largest(a) <= 1);
  constant_(a.set_requires_grad(), 0.25);
  CHECK(values(a) == std::vector<double>(7, 0.25));
}

TEST_CASE("initialisers reject weights without fans, and skip those without elements") {
  Tensor bias = Tensor::zeros({16}), none = Tensor::zeros({3, 0}), whole = Tensor::zeros({2, 2}, DType::i64);
  CHECK(error_text<ShapeError>([&] { kaiming_uniform_(bias); }) ==
        "kaiming_uniform_: expected a weight of shape (out, in, …), got 16; a bias has no fans");
  CHECK(error_text<ShapeError>([&] { xavier_normal_(bias); }) ==
        "xavier_normal_: expected a weight of shape (out, in, …), got 16; a bias has no fans");
  CHECK(error_text<DTypeError>([&] { kaiming_normal_(whole); }) ==
        "normal_: the tensor is i64, expected f32 or f64; convert it with to()");
  CHECK(error_text<Error>([&] { normal_(bias, 0, -1); }) == "normal_: expected a deviation of 0 or more, got -1");
  CHECK(error_text<Error>([&] { uniform_(bias, 1, 0); }) == "uniform_: expected bounds in order, got 1 and 0");
  kaiming_uniform_(none);
  xavier_normal_(none);
}
