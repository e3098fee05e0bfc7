// Layers without parameters or state: ReLU, MaxPool2d, GlobalAvgPool, Flatten, LogSoftmax.
#pragma once

#include <mica/core/ops/elementwise.h>
#include <mica/core/ops/loss.h>
#include <mica/core/ops/pool.h>
#include <mica/layers/module.h>

namespace mica {

class ReLU : public Module {
 public:
  Tensor forward(const Tensor& x) override { return relu(x); }
  const char* kind() const override { return "ReLU"; }
};

class MaxPool2d : public Module {
 public:
  // Square windows; a stride of 0 means the kernel's size.
  explicit MaxPool2d(std::int64_t kernel, std::int64_t stride = 0, std::int64_t padding = 0)
      : options_{{kernel, kernel}, stride == 0 ? std::optional<Pair>() : Pair{stride, stride}, {padding, padding}, {1, 1}, false} {}
  Tensor forward(const Tensor& x) override { return max_pool2d(x, options_); }
  const char* kind() const override { return "MaxPool2d"; }

 private:
  MaxPool2dOptions options_;
};

class GlobalAvgPool : public Module {  // (N, C, H, W) → (N, C, 1, 1)
 public:
  Tensor forward(const Tensor& x) override { return global_avg_pool(x); }
  const char* kind() const override { return "GlobalAvgPool"; }
};

class Flatten : public Module {  // (N, …) → (N, product of the rest), in logical order
 public:
  Tensor forward(const Tensor& x) override {
    const std::int64_t n = x.size(0);
    return x.reshape({n, n == 0 ? 0 : x.numel() / n});
  }
  const char* kind() const override { return "Flatten"; }
};

class LogSoftmax : public Module {
 public:
  explicit LogSoftmax(int dim = 1) : dim_(dim) {}
  Tensor forward(const Tensor& x) override { return log_softmax(x, dim_); }
  const char* kind() const override { return "LogSoftmax"; }

 private:
  int dim_;
};

}  // namespace mica
