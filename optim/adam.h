// Adam: torch.optim.Adam, whose weight decay is added to the gradient (L2). Formula: kernels/optimizer.h.
// Source: Kingma, Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
#pragma once

#include <mica/optim/optimizer.h>

#include <array>

namespace mica {

struct AdamOptions {
  double lr = 1e-3;
  std::array<double, 2> betas{0.9, 0.999};  // of the mean of gradients, of the mean of their squares; in [0, 1)
  double eps = 1e-8, weight_decay = 0;
};

class Adam : public Optimizer {
 public:
  explicit Adam(const std::vector<Tensor>& parameters, const AdamOptions& options = {}) { add_group(parameters, options); }
  void add_group(const std::vector<Tensor>& parameters, const AdamOptions& options);
  void step() override;

 private:
  std::vector<AdamOptions> options_;  // of each group
};

}  // namespace mica
