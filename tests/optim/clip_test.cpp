#include "../compare.h"
#include "../no_device.h"
#include "../project_file.h"

#include <mica/core/context.h>
#include <mica/core/error.h>
#include <mica/core/random.h>
#include <mica/core/safetensors.h>
#include <mica/optim/clip.h>

#include <nlohmann/json.hpp>

#include <limits>

using namespace mica;
using namespace mica::test;

namespace {

// Equal within the tolerance, relative to b; NaN equals NaN and infinity itself.
bool agree(double a, double b, double tolerance) {
  return (std::isnan(a) && std::isnan(b)) || a == b || std::abs(a - b) <= tolerance * std::abs(b);
}

Tensor with_gradient(const Tensor& gradient) {
  Tensor parameter = Tensor::zeros(gradient.shape(), gradient.dtype(), gradient.device()).set_requires_grad();
  parameter.set_grad(gradient.clone());
  return parameter;
}

double clipped(const std::vector<Tensor>& parameters, double max_norm, double norm_type = 2) {
  return clip_grad_norm_(parameters, max_norm, norm_type).item<double>();
}

Tensor noise(const Shape& shape, const char* use, DType dtype = DType::f32) {
  Tensor x = Tensor::empty(shape, dtype);
  uniform_(x, -1, 1, random_key(use));
  return x;
}

}  // namespace

TEST_CASE("clip_grad_norm_ and clip_grad_value_ equal PyTorch's") {
  const Safetensors file = load_safetensors(project_file("tests/pytorch/clip.safetensors"));
  const std::map<std::string, Tensor> stored(file.tensors.begin(), file.tensors.end());
  REQUIRE(file.metadata.size() == 14);
  for (const auto& [id, text] : file.metadata) {
    INFO(text);
    const auto j = nlohmann::json::parse(text);
    std::vector<Tensor> parameters{Tensor::zeros({2}).set_requires_grad()};  // never has a gradient
    for (int i = 0; i < 4; ++i) parameters.push_back(with_gradient(stored.at(id + "." + std::to_string(i) + ".before")));
    const bool exact = parameters[1].dtype() == DType::f64;
    const double tolerance = exact ? 1e-14 : 1e-6;  // PyTorch sums f32 in f32
    if (j.contains("clip_value")) {
      clip_grad_value_(parameters, j["clip_value"]);
    } else {
      const Tensor norm = clip_grad_norm_(parameters, j["max_norm"], std::stod(j["norm_type"].get<std::string>()));
      CHECK(agree(norm.item<double>(), stored.at(id + ".norm").item<double>(), tolerance));
    }
    CHECK(!parameters[0].grad().defined());
    for (std::size_t i = 0; i < 4; ++i) {
      const std::vector<double> ours = values(parameters[i + 1].grad()), theirs = values(stored.at(id + "." + std::to_string(i) + ".after"));
      REQUIRE(ours.size() == theirs.size());
      for (std::size_t k = 0; k < ours.size(); ++k)
        if (!agree(ours[k], theirs[k], tolerance)) FAIL(i << " " << k << ": " << ours[k] << ", expected " << theirs[k]);
    }
  }
}

TEST_CASE("the norm of many and of long gradients, f32 beside f64, whatever the thread count") {
  std::vector<Tensor> parameters;
  long double squares = 0, absolutes = 0, most = 0;
  for (const std::int64_t n : {1, 15, 16, 17, 4095, 4096, 4097, 50000, 0}) {
    parameters.push_back(with_gradient(noise({n}, "g", n % 2 == 0 ? DType::f32 : DType::f64)));
    for (const double v : values(parameters.back().grad())) {
      squares += static_cast<long double>(v) * v;
      absolutes += std::abs(v);
      most = std::max<long double>(most, std::abs(v));
    }
  }
  const double large = 1e9, inf = std::numeric_limits<double>::infinity();
  const Tensor before = parameters[7].grad().clone();
  const double norm = clipped(parameters, large);
  CHECK(norm == Approx(static_cast<double>(std::sqrt(squares))).epsilon(1e-14));
  CHECK(clipped(parameters, large, 1) == Approx(static_cast<double>(absolutes)).epsilon(1e-14));
  CHECK(clipped(parameters, large, inf) == static_cast<double>(most));
  CHECK(same_bits(parameters[7].grad(), before));  // a factor of 1 changes nothing
  const int threads = num_threads();
  for (const int other : {1, 2, 5}) {
    set_num_threads(other);
    CHECK(clipped(parameters, large) == norm);
  }
  set_num_threads(threads);
  CHECK(clipped(parameters, 2) == norm);
  CHECK(clipped(parameters, large) == Approx(2).epsilon(1e-6));
}

TEST_CASE("no gradient has the norm 0; what cannot be clipped is an error on demand") {
  const Tensor without = Tensor::zeros({2}).set_requires_grad();
  CHECK(clipped({without}, 1) == 0);
  CHECK(clipped({}, 1) == 0);
  CHECK(clip_grad_norm_({}, 1).shape() == Shape{});
  clip_grad_value_({without}, 1);
  const Tensor bad = with_gradient(Tensor::from<float>({1, std::numeric_limits<float>::quiet_NaN()}, {2}));
  CHECK(error_text<Error>([&] { clip_grad_norm_({bad}, 0.5, 2, true); }) ==
        "clip_grad_norm_: the norm of order 2 of all gradients is nan, so they cannot be clipped; without error_if_nonfinite they are "
        "multiplied all the same");
  CHECK(values(bad.grad())[0] == 1);
  CHECK(error_text<Error>([&] { clip_grad_norm_({bad}, 1, 0); }) ==
        "clip_grad_norm_: expected a norm type above 0 (infinity included), got 0");
}

TEST_CASE("clipping on CUDA: the norm stays there, and equals the CPU's", "[cuda]") {
  if (no_device()) return;
  for (const double norm_type : {1.0, 2.0, 3.0, std::numeric_limits<double>::infinity()})
    for (const double max_norm : {0.5, 1e9}) {
      std::vector<Tensor> here, there;
      for (const std::int64_t n : {1, 16, 17, 4097, 50000, 0}) {
        const Tensor gradient = noise({n}, "g", n % 2 == 0 ? DType::f32 : DType::f64);
        here.push_back(with_gradient(gradient));
        there.push_back(with_gradient(gradient.to(Device::cuda())));
      }
      const Tensor norm = clip_grad_norm_(there, max_norm, norm_type);
      CHECK(norm.device() == Device::cuda());
      CHECK(norm.dtype() == DType::f64);
      CHECK(norm.item<double>() == Approx(clipped(here, max_norm, norm_type)).epsilon(1e-14));
      for (std::size_t i = 0; i < here.size(); ++i)
        CHECK(difference(there[i].grad(), here[i].grad()) < (here[i].dtype() == DType::f64 ? 1e-14 : 1e-7));
    }
}

TEST_CASE("clipping on CUDA: what cannot be clipped, and gradients on two devices, are errors", "[cuda]") {
  if (no_device()) return;
  const Tensor bad = with_gradient(Tensor::from<float>({1, std::numeric_limits<float>::quiet_NaN()}, {2}).to(Device::cuda()));
  CHECK(error_text<Error>([&] { clip_grad_norm_({bad}, 0.5, 2, true); }).find("the norm of order 2 of all gradients is nan") != std::string::npos);
  CHECK(values(bad.grad())[0] == 1);
  clip_grad_norm_({bad}, 0.5);
  CHECK(std::isnan(values(bad.grad())[0]));
  const Tensor other = with_gradient(Tensor::ones({3}));
  CHECK(error_text<DeviceError>([&] { clip_grad_norm_({bad, other}, 0.5); }) ==
        "clip_grad_norm_: tensors are on cuda:0 and cpu, expected one device; move one with to()");
  CHECK(error_text<DeviceError>([&] { clip_grad_value_({other, bad}, 0.5); }) ==
        "clip_grad_value_: tensors are on cpu and cuda:0, expected one device; move one with to()");
  clip_grad_value_({with_gradient(Tensor::ones({3}).to(Device::cuda()))}, 0.25);
}
