// Pooling of (N, C, H, W) with PyTorch's meaning. Formulas and ties: kernels/pool.h.
#pragma once

#include <mica/core/tensor.h>

#include <array>

namespace mica {

struct MaxPool2dOptions {
  std::array<std::int64_t, 2> kernel{2, 2};   // along H, along W
  std::array<std::int64_t, 2> stride{0, 0};   // 0 means the kernel's size
  std::array<std::int64_t, 2> padding{0, 0};  // with −∞, at most half the kernel
  std::array<std::int64_t, 2> dilation{1, 1};
};

Tensor max_pool2d(const Tensor& x, const MaxPool2dOptions& options = {});

Tensor global_avg_pool(const Tensor& x);  // (N, C, H, W) → (N, C, 1, 1), as AdaptiveAvgPool2d(1)

}  // namespace mica
