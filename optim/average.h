// An exponential moving average of a network's weights, often better than the weights themselves:
//   ExponentialMovingAverage average(network.state_dict(), 0.999);
//   optimizer.step(), average.update();          // in a CudaGraph too
//   { const AveragedWeights in_use(average); evaluate(network); save(network); }
// torch.optim.swa_utils.AveragedModel with get_ema_multi_avg_fn(decay) and use_buffers: the first update copies, each later one makes
// average = decay · average + (1 − decay) · value of parameters and floating buffers. Integers (num_batches_tracked) are copied, where
// PyTorch cuts their average off to an integer. Deterministic, the same bits on every device.
#pragma once

#include <mica/optim/state.h>

namespace mica {

class ExponentialMovingAverage {
 public:
  // `values`, a network's state_dict(), shares its tensors with the network, which it follows to another device or dtype.
  explicit ExponentialMovingAverage(const NamedTensors& values, double decay = 0.999);

  // After an optimizer's step: one launch for all tensors of f32, one for f64, one for each of integers. Throws Error inside AveragedWeights.
  void update();

  // As AveragedModel's state_dict(): n_averaged, an i64 scalar, then module.conv1.weight, …; copies. Loading is as an optimizer's.
  NamedTensors state() const;
  void load_state(const NamedTensors& state);

 private:
  friend class AveragedWeights;
  struct Pair {
    std::string key;
    Tensor value, average;
  };
  void follow();  // averages to where the values are

  std::vector<Pair> pairs_;
  double decay_;
  std::int64_t count_ = 0;  // updates so far
  bool in_use_ = false;
};

// While it lives, the network's tensors are the averages; then they are what they were, gradients included, on the memory that they were
// on, so that captured steps go on. Nothing is copied. What changes the network meanwhile changes the averages.
class AveragedWeights {
 public:
  explicit AveragedWeights(ExponentialMovingAverage& average);  // throws Error where another one lives
  ~AveragedWeights();
  AveragedWeights(const AveragedWeights&) = delete;
  AveragedWeights& operator=(const AveragedWeights&) = delete;

 private:
  struct Before {
    Tensor elements, gradient;
  };
  ExponentialMovingAverage& average_;
  std::vector<Before> before_;
};

}  // namespace mica
