// Linear: the layer around mica::linear, with PyTorch's names and default initialisation.
#pragma once

#include <mica/core/ops/linear.h>
#include <mica/layers/module.h>

namespace mica {

class Linear : public Module {
 public:
  // weight (out, in) and bias (out) ~ U(±1/√in).
  Linear(std::int64_t in, std::int64_t out, bool with_bias = true);

  Tensor forward(const Tensor& x) override { return linear(x, weight, bias); }
  void visit(Visitor& v) override { v("weight", weight); v("bias", bias); }
  const char* kind() const override { return "Linear"; }
  std::int64_t mult_adds(const Shape& y) override { return parameter_count() * numel(y) / y.back(); }
  std::int64_t flops(const Shape& y) override { return 2 * weight.numel() * numel(y) / y.back(); }

  Tensor weight, bias;  // bias is undefined without one
};

}  // namespace mica
