// Every op of the table on every stored case: f64 against PyTorch, f64 against finite differences, f32 against f64.
#include "../catch.h"
#include "../compare.h"
#include "cases.h"

#include <mica/core/autograd.h>
#include <mica/core/ops.h>

#include <set>

using namespace mica;
using namespace mica::test;

TEST_CASE("every op has a stored case") {
  std::set<std::string> tested;
  for (const OpCase& c : stored_cases()) tested.insert(c.attributes.at("op").get<std::string>());
  for (const auto& [name, function] : ops()) CHECK(tested.count(name) == 1);
}

TEST_CASE("f64 ops equal PyTorch's") {
  for (const OpCase& c : stored_cases()) {
    INFO(describe(c));
    const OpResult got = run_op(c.attributes, c.arguments, c.grad_output);
    CHECK(difference(got.output, c.expected.output) < 1e-13);
    for (const auto& [name, gradient] : c.expected.gradients) {
      INFO("gradient of " << name);
      // A gradient that cancels to nothing (batch norm of two values) is compared on the scale of what went in.
      const double scale = std::max(1.0, largest(c.grad_output) / std::max(largest(gradient), 1e-300));
      CHECK(difference(got.gradients.at(name), gradient) < 1e-12 * scale);
    }
    for (const auto& [name, buffer] : c.expected.buffers) CHECK(difference(got.buffers.at(name), buffer) < 1e-14);
  }
}

namespace {

// Σ output · grad_output
double weighted_sum(const OpCase& c, const Arguments& arguments) {
  const NoGrad no_grad;
  Arguments copies;
  for (const auto& [name, value] : arguments) copies[name] = value.clone();  // running statistics are changed in place
  const Tensor y = ops().at(c.attributes.at("op").get<std::string>())(copies, c.attributes);
  return sum(mul(y, c.grad_output)).item<double>();
}

// Is the op's value at these arguments on a kink, where differences mean nothing? The rounded cases of max_pool2d are.
bool has_ties(const OpCase& c) {
  if (c.attributes.at("op") != "max_pool2d") return false;
  const std::vector<double> x = values(c.arguments.at("input"));
  return std::all_of(x.begin(), x.end(), [](double v) { return v == std::round(v); });
}

}  // namespace

TEST_CASE("f64 gradients equal finite differences") {
  for (const OpCase& c : stored_cases()) {
    if (has_ties(c)) continue;
    INFO(describe(c));
    const OpResult got = run_op(c.attributes, c.arguments, c.grad_output);
    for (const auto& [name, gradient] : got.gradients) {
      INFO("gradient of " << name);
      const std::vector<double> analytic = values(gradient);
      // Batch norm of one or two values and log_softmax of one class are constant: their gradient is truly zero.
      if (largest(c.expected.gradients.at(name)) > 1e-9) CHECK(largest(gradient) > 1e-9);
      const std::vector<double> start = values(c.arguments.at(name));
      const std::size_t step = std::max<std::size_t>(1, start.size() / 37);  // up to about 37 elements of each argument
      for (std::size_t i = 0; i < start.size(); i += step) {
        const double h = 1e-5;
        double side[2];
        for (int s = 0; s < 2; ++s) {
          std::vector<double> moved = start;
          moved[i] += s ? -h : h;
          Arguments arguments = c.arguments;
          arguments[name] = Tensor::from<double>(moved, c.arguments.at(name).shape());
          side[s] = weighted_sum(c, arguments);
        }
        // Rounding: 1e-16 of the sum over h; curvature: h² of the third derivative.
        CHECK(std::abs((side[0] - side[1]) / (2 * h) - analytic[i]) < 3e-8 * std::max(1.0, largest(gradient)));
      }
    }
  }
}

TEST_CASE("f32 ops equal f64 within f32's precision") {
  for (const OpCase& c : stored_cases()) {
    INFO(describe(c));
    Arguments narrow, same_values;  // both start from the values that f32 can hold
    for (const auto& [name, value] : c.arguments) {
      narrow[name] = is_floating(value.dtype()) ? value.to(DType::f32) : value;
      same_values[name] = is_floating(value.dtype()) ? narrow[name].to(DType::f64) : value;
    }
    const Tensor gy = c.grad_output.to(DType::f32);
    const OpResult got = run_op(c.attributes, narrow, gy), want = run_op(c.attributes, same_values, gy.to(DType::f64));
    CHECK(got.output.dtype() == DType::f32);
    CHECK(difference(got.output, want.output) < 2e-6);  // sums of up to 200 terms, each rounded to 6e-8
    for (const auto& [name, gradient] : want.gradients) {
      INFO("gradient of " << name);
      const double scale = std::max(1.0, largest(c.grad_output) / std::max(largest(gradient), 1e-300));
      CHECK(difference(got.gradients.at(name), gradient) < 5e-6 * scale);
    }
  }
}

TEST_CASE("ops leave their arguments unchanged") {
  for (const OpCase& c : stored_cases()) {
    Arguments arguments, before;
    for (const auto& [name, value] : c.arguments) {
      arguments[name] = value.clone();
      before[name] = value.clone();
      if (is_differentiable(name, value)) arguments[name].set_requires_grad();
    }
    ops().at(c.attributes.at("op").get<std::string>())(arguments, c.attributes).backward(c.grad_output);
    for (const auto& [name, value] : before) {
      INFO(describe(c) << ": " << name);
      if (name.rfind("running_", 0) != 0) CHECK(same_bits(arguments.at(name).detach(), value));
    }
  }
}

TEST_CASE("primitives kept by shape are not mistaken for one another") {
  // The same sizes with other groups, stride, padding, dilation and bias, one after the other. Whole numbers make every
  // partial sum exact, so that f32 and f64 are equal.
  std::vector<double> v;
  for (int i = 0; i < 2 * 4 * 9 * 9; ++i) v.push_back(i * 7 % 11 - 5);
  const Tensor x = Tensor::from<double>(v, {2, 4, 9, 9});
  for (const std::int64_t groups : {1, 2, 4})
    for (const std::int64_t stride : {1, 2})
      for (const std::int64_t padding : {0, 1})
        for (const std::int64_t dilation : {1, 2})
          for (const bool with_bias : {false, true}) {
            const Shape shape{4, 4 / groups, 3, 3};
            const Tensor w = Tensor::from<double>(std::vector<double>(v.begin(), v.begin() + numel(shape)), shape);
            const Tensor b = with_bias ? Tensor::from<double>({1, 2, 3, 4}, {4}) : Tensor();
            const Conv2dOptions options{{stride, stride}, {padding, padding}, {dilation, dilation}, groups};
            const Tensor narrow = with_bias ? b.to(DType::f32) : b;
            CHECK(difference(conv2d(x.to(DType::f32), w.to(DType::f32), narrow, options), conv2d(x, w, b, options)) == 0);
          }
}
