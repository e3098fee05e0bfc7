// Stochastic gradient descent with momentum, Nesterov momentum and weight decay: torch.optim.SGD.
// Formula: kernels/optimizer.h.
#pragma once

#include <mica/optim/optimizer.h>

namespace mica {

struct SgdOptions {
  double lr = 1e-3;
  double momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false;  // needs momentum, and no dampening
};

class Sgd : public Optimizer {
 public:
  Sgd(const std::vector<Tensor>& parameters, const SgdOptions& options) { add_group(parameters, options); }
  void add_group(const std::vector<Tensor>& parameters, const SgdOptions& options);
  void step() override;

 private:
  double* momentum_of(std::size_t group) override;

  std::vector<SgdOptions> options_;  // of each group
};

}  // namespace mica
