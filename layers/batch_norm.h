// BatchNorm1d and BatchNorm2d: layers around mica::batch_norm, with PyTorch's names, defaults and buffers.
#pragma once

#include <mica/core/ops/batch_norm.h>
#include <mica/layers/module.h>

#include <optional>

namespace mica {

// What they share.
class BatchNorm : public Module {
 public:
  struct Options {
    double eps = 1e-5;
    std::optional<double> momentum = 0.1;  // none: the average of all batches so far
  };

  Tensor forward(const Tensor& x) override { return forward(x, false, {}); }
  // With ReLU, and dropout after it, in the same pass.
  virtual Tensor forward(const Tensor& x, bool relu, const kernels::Dropout& dropout) = 0;
  void visit(Visitor& v) override;
  std::int64_t mult_adds(const Shape& y) override { return parameter_count() * y[0]; }
  int input_reads() const override { return 2; }  // statistics of all come first
  BatchNormOptions options_for(bool relu, const kernels::Dropout& dropout) const;  // of a call now

  Tensor weight, bias;               // (channels): 1, 0
  Tensor running_mean, running_var;  // (channels): 0, 1
  Tensor num_batches_tracked;        // i64 scalar

 protected:
  BatchNorm(const char* kind, std::int64_t channels, const Options& options);
  Tensor normalize(const Tensor& x, bool relu, const kernels::Dropout& dropout);  // x (N, C) or (N, C, H, W)

 private:
  Options options_;
};

class BatchNorm1d : public BatchNorm {  // (N, C) or (N, C, L)
 public:
  explicit BatchNorm1d(std::int64_t channels, const Options& options) : BatchNorm("BatchNorm1d", channels, options) {}
  explicit BatchNorm1d(std::int64_t channels) : BatchNorm1d(channels, Options{}) {}
  using BatchNorm::forward;
  Tensor forward(const Tensor& x, bool relu, const kernels::Dropout& dropout) override;
  const char* kind() const override { return "BatchNorm1d"; }
};

class BatchNorm2d : public BatchNorm {  // (N, C, H, W)
 public:
  explicit BatchNorm2d(std::int64_t channels, const Options& options) : BatchNorm("BatchNorm2d", channels, options) {}
  explicit BatchNorm2d(std::int64_t channels) : BatchNorm2d(channels, Options{}) {}
  using BatchNorm::forward;
  Tensor forward(const Tensor& x, bool relu, const kernels::Dropout& dropout) override;
  const char* kind() const override { return "BatchNorm2d"; }
};

}  // namespace mica
