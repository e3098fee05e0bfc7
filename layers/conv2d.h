// Conv2d: the layer around mica::conv2d, with PyTorch's names and default initialisation.
#pragma once

#include <mica/core/ops/conv2d.h>
#include <mica/layers/module.h>
#include <mica/layers/number_or_pair.h>

namespace mica {

class Conv2d : public Module {
 public:
  struct Options {
    NumberOrPair stride = 1, padding = 0, dilation = 1;
    std::int64_t groups = 1;
    bool bias = true;
  };

  // weight (out, in/groups, kernel.h, kernel.w) and bias (out) ~ U(±1/√fan_in), fan_in = in/groups · kernel.h · kernel.w.
  Conv2d(std::int64_t in, std::int64_t out, NumberOrPair kernel, const Options& options);
  Conv2d(std::int64_t in, std::int64_t out, NumberOrPair kernel) : Conv2d(in, out, kernel, Options{}) {}

  Tensor forward(const Tensor& x) override { return conv2d(x, weight, bias, options_); }
  void visit(Visitor& v) override { v("weight", weight); v("bias", bias); }
  const char* kind() const override { return "Conv2d"; }
  std::int64_t mult_adds(const Shape& y) override;  // parameters × output pixels
  std::int64_t flops(const Shape& y) override { return 2 * weight.numel() * y[0] * y[2] * y[3]; }

  const Conv2dOptions& options() const { return options_; }

  Tensor weight, bias;  // bias is undefined without one

 private:
  Conv2dOptions options_;
};

}  // namespace mica
