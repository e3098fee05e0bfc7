// Pooling of (N, C, H, W), or of one image (C, H, W), with PyTorch's meaning. Formulas and ties: kernels/pool.h.
#pragma once

#include <mica/core/tensor.h>

#include <array>
#include <optional>

namespace mica {

using Pair = std::array<std::int64_t, 2>;  // along H, along W

struct MaxPool2dOptions {
  Pair kernel{2, 2};
  std::optional<Pair> stride;  // the kernel's size unless given
  Pair padding{0, 0};          // with −∞, at most half the kernel
  Pair dilation{1, 1};
  bool ceil_mode = false;      // may the last window hang over the end?
};
Tensor max_pool2d(const Tensor& x, const MaxPool2dOptions& options = {});

struct AvgPool2dOptions {
  Pair kernel{2, 2};
  std::optional<Pair> stride;  // the kernel's size unless given
  Pair padding{0, 0};          // with 0, at most half the kernel
  bool ceil_mode = false;
  bool count_include_pad = true;                   // is padding counted in the divisor?
  std::optional<std::int64_t> divisor_override;    // divides every window's sum, unless absent; not 0
};
Tensor avg_pool2d(const Tensor& x, const AvgPool2dOptions& options = {});

// To an image of this size; a size that is absent stays. Output pixel i averages input pixels ⌊i·h/oh⌋ to ⌈(i+1)·h/oh⌉ − 1.
Tensor adaptive_avg_pool2d(const Tensor& x, const std::array<std::optional<std::int64_t>, 2>& output_size);

Tensor global_avg_pool(const Tensor& x);  // (N, C, H, W) → (N, C, 1, 1), as AdaptiveAvgPool2d(1)

}  // namespace mica
