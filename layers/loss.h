// Losses, called with what a network gave and what it should have given:
//   const CrossEntropyLoss loss({.label_smoothing = 0.1});
//   loss(net(images), labels).backward();
// Names, options and defaults are PyTorch's. They hold no parameters and are no modules; the ops say which shapes they take.
#pragma once

#include <mica/core/ops/loss.h>
#include <mica/core/ops/regression_loss.h>

namespace mica {

class CrossEntropyLoss {  // of scores and classes, or probabilities
 public:
  explicit CrossEntropyLoss(const CrossEntropyOptions& options = {}) : options_(options) {}
  Tensor operator()(const Tensor& input, const Tensor& target) const { return cross_entropy(input, target, options_); }

 private:
  CrossEntropyOptions options_;
};

class NLLLoss {  // of log-probabilities and classes
 public:
  explicit NLLLoss(const NllLossOptions& options = {}) : options_(options) {}
  Tensor operator()(const Tensor& input, const Tensor& target) const { return nll_loss(input, target, options_); }

 private:
  NllLossOptions options_;
};

class MSELoss {
 public:
  explicit MSELoss(Reduction reduction = Reduction::mean) : reduction_(reduction) {}
  Tensor operator()(const Tensor& input, const Tensor& target) const { return mse_loss(input, target, reduction_); }

 private:
  Reduction reduction_;
};

class L1Loss {
 public:
  explicit L1Loss(Reduction reduction = Reduction::mean) : reduction_(reduction) {}
  Tensor operator()(const Tensor& input, const Tensor& target) const { return l1_loss(input, target, reduction_); }

 private:
  Reduction reduction_;
};

class HuberLoss {
 public:
  struct Options {
    Reduction reduction = Reduction::mean;
    double delta = 1;  // where the square becomes a line; above 0
  };
  HuberLoss() : HuberLoss(Options{}) {}
  explicit HuberLoss(const Options& options) : options_(options) {}
  Tensor operator()(const Tensor& input, const Tensor& target) const {
    return huber_loss(input, target, options_.delta, options_.reduction);
  }

 private:
  Options options_;
};

}  // namespace mica
