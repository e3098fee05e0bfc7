// RMSprop, with momentum and centered where asked for: torch.optim.RMSprop. Formula: kernels/optimizer.h.
// Source: Tieleman, Hinton, "Lecture 6.5: rmsprop", Coursera 2012; centered: Graves, arXiv:1308.0850.
#pragma once

#include <mica/optim/optimizer.h>

namespace mica {

struct RMSpropOptions {
  double lr = 1e-2;
  double alpha = 0.99;  // of the mean of squared gradients; in [0, 1]
  double eps = 1e-8, weight_decay = 0, momentum = 0;
  bool centered = false;  // divide by the gradients' deviation, not by their root mean square
};

class RMSprop : public Optimizer {
 public:
  explicit RMSprop(const std::vector<Tensor>& parameters, const RMSpropOptions& options = {}) { add_group(parameters, options); }
  void add_group(const std::vector<Tensor>& parameters, const RMSpropOptions& options);
  void step() override;

 private:
  double* momentum_of(std::size_t group) override;

  std::vector<RMSpropOptions> options_;  // of each group
};

}  // namespace mica
