// Initial values of parameters.
#pragma once

#include <mica/core/tensor.h>

namespace mica {

// A trainable f32 tensor ~ U(±1/√fan_in): PyTorch's default for convolutions and linear layers, weight and bias alike.
// Drawn from the seed by the number of parameters made since manual_seed.
Tensor default_parameter(const Shape& shape, std::int64_t fan_in);

Tensor constant_parameter(const Shape& shape, double value);  // trainable, f32

}  // namespace mica
