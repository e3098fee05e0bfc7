// Adam: torch.optim.Adam, whose weight decay is added to the gradient (L2), and AdamW, whose weight decay shrinks the parameter before
// the step. Formulas: kernels/optimizer.h.
// Sources: Kingma, Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015; Loshchilov, Hutter, "Decoupled Weight Decay
// Regularization", ICLR 2019.
#pragma once

#include <mica/core/scope.h>
#include <mica/optim/optimizer.h>

#include <array>

namespace mica {

struct AdamOptions {
  double lr = 1e-3;
  std::array<double, 2> betas{0.9, 0.999};  // of the mean of gradients, of the mean of their squares; in [0, 1)
  double eps = 1e-8, weight_decay = 0;
  bool decoupled_weight_decay = false;  // θ *= 1 − lr·weight_decay first: AdamW
};

class Adam : public Optimizer {
 public:
  explicit Adam(const std::vector<Tensor>& parameters, const AdamOptions& options = {}) : Adam("Adam") { add_group(parameters, options); }
  void add_group(const std::vector<Tensor>& parameters, const AdamOptions& options);
  void step() override;

 protected:
  explicit Adam(const char* name);

 private:
  double* momentum_of(std::size_t group) override { return &options_[group].betas[0]; }

  Scope::Name name_;
  std::vector<AdamOptions> options_;  // of each group
};

struct AdamWOptions {
  double lr = 1e-3;
  std::array<double, 2> betas{0.9, 0.999};
  double eps = 1e-8, weight_decay = 1e-2;
};

class AdamW : public Adam {
 public:
  explicit AdamW(const std::vector<Tensor>& parameters, const AdamWOptions& options = {}) : Adam("AdamW") { add_group(parameters, options); }
  void add_group(const std::vector<Tensor>& parameters, const AdamWOptions& o) {
    Adam::add_group(parameters, {o.lr, o.betas, o.eps, o.weight_decay, true});
  }
};

}  // namespace mica
