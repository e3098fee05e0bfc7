// Gradients of ops against finite differences, in f64, on any device.
#pragma once

#include "agreement.h"

#include <mica/core/autograd.h>

#include <cstdlib>
#include <map>

namespace mica::test {

// Whole numbers tie and lie on kinks, where differences mean nothing; special values have none.
inline bool is_smooth(const OpCase& c) { return !c.has(Fill::integers) && !c.has(Fill::special); }

class GradientCheck {
 public:
  // Of each argument up to about `elements` elements are moved.
  GradientCheck(Device device, std::size_t elements) : device_(device), elements_(elements) {}

  void add(const OpCase& c) {
    if (!is_smooth(c)) return;
    const Arguments arguments = c.arguments();
    const Outputs gy = c.grad_outputs();
    if (std::isnan(weighted_sum(c, arguments, gy))) return;  // a mean of nothing
    const OpResult got = run_op(c.attributes, arguments, gy, device_);
    for (const auto& [name, gradient] : got.gradients) {
      if (gradient.numel() == 0) continue;
      INFO("gradient of " << name);
      const std::string what = c.attributes.at("op").get<std::string>() + " " + name;
      ++checked_[what];
      zero_[what] += largest(gradient) < 1e-9;
      check_differences(c, name, gradient, arguments, gy);
    }
  }

  // Some gradients are truly zero (softmax of one class, a clamp's far side); one that mostly is would prove nothing.
  void require_nonzero() {
    if (!std::getenv("MICA_CASE")) CHECK_FALSE(checked_.empty());
    for (const auto& [what, count] : checked_) {
      INFO(what << ": " << zero_[what] << " of " << count << " gradients are zero");
      if (what.rfind("argm", 0) == 0) CHECK(zero_[what] == count);
      else if (!std::getenv("MICA_CASE")) CHECK(2 * zero_[what] < count);
    }
  }

 private:
  // Σ output · grad_output over all outputs
  double weighted_sum(const OpCase& c, const Arguments& arguments, const Outputs& grad_outputs) const {
    const NoGrad no_grad;
    Arguments copies;
    for (const auto& [name, value] : arguments) copies[name] = device_ == Device::cpu() ? value.clone() : value.to(device_);  // running statistics are changed in place
    double total = 0;
    const Outputs outputs = call_op(copies, c.attributes);
    for (const auto& [name, gy] : grad_outputs) total += sum(mul(outputs.at(name).to(Device::cpu()), gy)).item<double>();
    return total;
  }

  void check_differences(const OpCase& c, const std::string& name, const Tensor& gradient, const Arguments& arguments, const Outputs& gy) const {
    const std::vector<double> analytic = values(gradient), start = values(arguments.at(name));
    const std::size_t step = std::max<std::size_t>(1, start.size() / elements_);
    for (std::size_t i = 0; i < start.size(); i += step) {
      const double h = 1e-5;
      double side[2];
      for (int s = 0; s < 2; ++s) {
        std::vector<double> moved = start;
        moved[i] += s ? -h : h;
        Arguments changed = arguments;
        changed[name] = Tensor::from<double>(moved, arguments.at(name).shape());
        side[s] = weighted_sum(c, changed, gy);
      }
      // Rounding: 1e-16 of the sum over h; curvature: h² of the third derivative.
      const double numeric = (side[0] - side[1]) / (2 * h);
      verify(c, fmt::format("gradient {} of {}, element {}: numeric {}", analytic[i], name, i, numeric), std::abs(numeric - analytic[i]),
             3e-8 * std::max(1.0, largest(gradient)));
    }
  }

  Device device_;
  std::size_t elements_;
  std::map<std::string, int> checked_, zero_;  // by op and argument
};

}  // namespace mica::test
