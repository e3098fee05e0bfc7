// Dropout with PyTorch's meaning: in training each element is 0 with probability p, the others are divided by 1 − p.
#pragma once

#include <mica/core/random.h>
#include <mica/core/tensor.h>
#include <mica/kernels/dropout.h>

namespace mica {

// The mask is a function of key and element number in memory order; give every use a key of its own. p in [0, 1].
// Where the policy chooses cuDNN, its masks are those of a generator of its own instead, seeded by manual_seed: the same seed and the
// same calls in the same order give the same bits.
Tensor dropout(const Tensor& x, double p, bool training, const RandomKey& key);

}  // namespace mica
