// LayerNorm: the layer around mica::layer_norm, with PyTorch's names and defaults.
#pragma once

#include <mica/core/ops/layer_norm.h>
#include <mica/layers/module.h>

namespace mica {

class LayerNorm : public Module {
 public:
  struct Options {
    double eps = 1e-5;
    bool elementwise_affine = true;  // with weight,
    bool bias = true;                // and with bias
  };

  // normalized_shape: the last sizes of the input; LayerNorm(64), LayerNorm({16, 8, 8}).
  LayerNorm(const Shape& normalized_shape, const Options& options);
  explicit LayerNorm(const Shape& normalized_shape) : LayerNorm(normalized_shape, Options{}) {}
  LayerNorm(std::int64_t size, const Options& options) : LayerNorm(Shape{size}, options) {}
  explicit LayerNorm(std::int64_t size) : LayerNorm(Shape{size}) {}

  Tensor forward(const Tensor& x) override { return layer_norm(x, normalized_shape_, weight, bias, eps_); }
  void visit(Visitor& v) override { v("weight", weight); v("bias", bias); }
  const char* kind() const override { return "LayerNorm"; }
  std::int64_t mult_adds(const Shape& y) override { return parameter_count() * y[0]; }

  Tensor weight, bias;  // (normalized_shape): 1, 0; undefined without them

 private:
  Shape normalized_shape_;
  double eps_;
};

}  // namespace mica
