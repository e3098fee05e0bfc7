// Dropout: a layer whose masks are a function of the seed, its path and how often it was called in training.
#pragma once

#include <mica/core/ops/dropout.h>
#include <mica/layers/module.h>

namespace mica {

class Dropout : public Module {
 public:
  explicit Dropout(double p = 0.5) { set_p(p); }  // p: probability to drop

  Tensor forward(const Tensor& x) override;
  const char* kind() const override { return "Dropout"; }

  // For a kernel on this device that applies it: this call's mask. Counts as a call.
  kernels::Dropout next_mask(Device device);

  double p() const { return p_; }
  void set_p(double p);  // throws Error outside [0, 1]

 private:
  double p_ = 0;
  std::shared_ptr<std::uint32_t> calls_ = std::make_shared<std::uint32_t>(0);  // in training; numbers the masks, so that no call repeats one
};

}  // namespace mica
