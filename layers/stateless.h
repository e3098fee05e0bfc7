// Every layer without parameters or state: activations, pooling, and Flatten.
#pragma once

#include <mica/layers/activations.h>
#include <mica/layers/pooling.h>

namespace mica {

class Flatten : public Module {  // (N, …) → (N, product of the rest), in logical order
 public:
  Tensor forward(const Tensor& x) override {
    const std::int64_t n = x.size(0);
    return x.reshape({n, n == 0 ? 0 : x.numel() / n});
  }
  const char* kind() const override { return "Flatten"; }
};

}  // namespace mica
