// BatchNorm2d: the layer around mica::batch_norm, with PyTorch's names, defaults and buffers.
#pragma once

#include <mica/core/ops/batch_norm.h>
#include <mica/layers/module.h>

#include <optional>

namespace mica {

class BatchNorm2d : public Module {
 public:
  struct Options {
    double eps = 1e-5;
    std::optional<double> momentum = 0.1;  // none: the average of all batches so far
  };

  explicit BatchNorm2d(std::int64_t channels, const Options& options);
  explicit BatchNorm2d(std::int64_t channels) : BatchNorm2d(channels, Options{}) {}

  Tensor forward(const Tensor& x) override { return forward(x, false, {}); }
  // With ReLU, and dropout after it, in the same pass.
  Tensor forward(const Tensor& x, bool relu, const kernels::Dropout& dropout);
  void visit(Visitor& v) override;
  const char* kind() const override { return "BatchNorm2d"; }
  std::int64_t mult_adds(const Shape& y) override { return parameter_count() * y[0]; }

  Tensor weight, bias;               // (channels): 1, 0
  Tensor running_mean, running_var;  // (channels): 0, 1
  Tensor num_batches_tracked;        // i64 scalar

 private:
  Options options_;
};

}  // namespace mica
