// Naive dropout: the mask is number i of a key's sequence.
#pragma once

#include "../naive.h"

#include <mica/kernels/philox.h>

namespace mica::bench {

template <class Real>
struct DropoutFormula {
  kernels::RandomKey key;
  std::uint32_t threshold;
  double scale;
  const float* x;
  MICA_FUNCTION Real operator()(i64 i) const {
    return kernels::random_bits(key, static_cast<std::uint64_t>(i)) >= threshold ? Real(x[i]) * Real(scale) : Real(0);
  }
};

template <class Real>
struct UniformFormula {
  kernels::RandomKey key;
  MICA_FUNCTION Real operator()(i64 i) const { return Real(kernels::to_uniform(kernels::random_bits(key, static_cast<std::uint64_t>(i)))); }
};

}  // namespace mica::bench
