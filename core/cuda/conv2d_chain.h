// Chains of convolutions on a CUDA device: forward from the first link to the last, backward from the last to the first.
#pragma once

#include <mica/core/ops/conv2d_chain.h>

namespace mica {

// As conv2d_chain (core/ops/conv2d_chain.h), whose checks it relies on.
Tensor conv2d_chain_on_cuda(const Tensor& x, std::span<const ChainLink> links);

}  // namespace mica
