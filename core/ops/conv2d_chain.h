// Convolutions with batch norm, ReLU and dropout between them, run as one op that reads and writes each tensor once. The result is that
// of conv2d and batch_norm one after the other, but for rounding. Backward uses the convolutions' weights as they were in forward. Kernels
// and formulas: kernels/conv2d_chain.h.
#pragma once

#include <mica/core/ops/batch_norm.h>
#include <mica/core/ops/conv2d.h>
#include <mica/core/scope.h>

#include <cstddef>
#include <span>

namespace mica {

// A convolution and, behind it, batch norm with ReLU and perhaps dropout.
struct ChainLink {
  Tensor weight = {}, bias = {};  // as conv2d takes them; weight undefined, in a first link only: no convolution
  Conv2dOptions options = {};
  Tensor norm_weight = {}, norm_bias = {}, running_mean = {}, running_var = {};  // as batch_norm takes them; all undefined, in a last link only: no norm
  BatchNormOptions norm = {.relu = true};
  // In which the link's work is done, forward and backward: that of the convolution, which also normalises what it reads and learns of what
  // it writes; and that of a norm by itself, at a chain's ends.
  Scope::Name scope = {}, norm_scope = {};

  bool convolves() const { return weight.defined(); }
  bool normalizes() const { return norm_weight.defined(); }
};

// How many of the first links conv2d_chain can do; 0 where it can do nothing that saves work.
std::size_t chainable(const Tensor& x, std::span<const ChainLink> links);

// links: as many as chainable() has said. x (N, C, H, W) → (N, O, oh, ow).
Tensor conv2d_chain(const Tensor& x, std::span<const ChainLink> links);

}  // namespace mica
