// Pooling: layers around the ops of core/ops/pool.h, without parameters or state. Windows are a number or a pair.
//   MaxPool2d(2)      MaxPool2d({3, 2}, {.stride = 2, .padding = {1, 0}})      AdaptiveAvgPool2d(1)
#pragma once

#include <mica/core/ops/pool.h>
#include <mica/layers/module.h>
#include <mica/layers/number_or_pair.h>

#include <optional>

namespace mica {

class MaxPool2d : public Module {
 public:
  struct Options {
    NumberOrPair stride = 0;  // 0: the kernel's size
    NumberOrPair padding = 0, dilation = 1;
    bool ceil_mode = false;   // may the last window hang over the end?
  };
  MaxPool2d(NumberOrPair kernel, const Options& o);
  explicit MaxPool2d(NumberOrPair kernel) : MaxPool2d(kernel, Options{}) {}
  Tensor forward(const Tensor& x) override { return max_pool2d(x, options_); }
  const char* kind() const override { return "MaxPool2d"; }

 private:
  MaxPool2dOptions options_;
};

class AvgPool2d : public Module {
 public:
  struct Options {
    NumberOrPair stride = 0;  // 0: the kernel's size
    NumberOrPair padding = 0;
    bool ceil_mode = false;                             // may the last window hang over the end?
    bool count_include_pad = true;                      // is padding counted in the divisor?
    std::optional<std::int64_t> divisor_override = {};  // divides every window's sum
  };
  AvgPool2d(NumberOrPair kernel, const Options& o);
  explicit AvgPool2d(NumberOrPair kernel) : AvgPool2d(kernel, Options{}) {}
  Tensor forward(const Tensor& x) override { return avg_pool2d(x, options_); }
  const char* kind() const override { return "AvgPool2d"; }

 private:
  AvgPool2dOptions options_;
};

class AdaptiveAvgPool2d : public Module {  // to an image of the given size
 public:
  explicit AdaptiveAvgPool2d(std::int64_t both) : AdaptiveAvgPool2d(both, both) {}
  AdaptiveAvgPool2d(std::optional<std::int64_t> h, std::optional<std::int64_t> w) : output_size_{h, w} {}  // one that is absent stays
  Tensor forward(const Tensor& x) override { return adaptive_avg_pool2d(x, output_size_); }
  const char* kind() const override { return "AdaptiveAvgPool2d"; }

 private:
  std::array<std::optional<std::int64_t>, 2> output_size_;
};

class GlobalAvgPool : public Module {  // (N, C, H, W) → (N, C, 1, 1)
 public:
  Tensor forward(const Tensor& x) override { return global_avg_pool(x); }
  const char* kind() const override { return "GlobalAvgPool"; }
};

}  // namespace mica
