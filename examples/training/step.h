// Training steps, one after the other or, on CUDA, replayed as a captured graph.
#pragma once

#include <mica/core/cuda_graph.h>
#include <mica/data/image_set.h>
#include <mica/layers/sequential.h>
#include <mica/optim/optimizer.h>

#include <optional>
#include <vector>

namespace mica::training {

// Of one batch, on its device.
struct StepResult {
  Tensor loss, correct;
  std::int64_t images = 0;
};

class Steps {
 public:
  struct Options {
    double clip_norm = 0;     // of all gradients together; 0: they are not clipped
    int per_graph = 0;        // 0: no graph; else throws DeviceError unless the device is a CUDA device
  };
  Steps(Sequential& network, Optimizer& optimizer, const Options& options, Device device);  // the network's device

  // Does the loader's next steps: one, or as many as a graph has, but `most` ≥ 1 at most. Empty where the epoch is over. The
  // tensors hold these values until the next call.
  std::vector<StepResult> next(BatchLoader& loader, std::int64_t most);
  std::vector<StepResult> next_eagerly(BatchLoader& loader);  // one, without a graph

 private:
  StepResult step(const Batch& batch);
  std::vector<StepResult> run_graph();

  Sequential& network_;
  Optimizer& optimizer_;
  std::vector<Tensor> parameters_;
  double clip_norm_;
  std::optional<CudaGraph> graph_;
  std::vector<Batch> batches_;        // a graph's, always in the same memory
  std::vector<StepResult> captured_;  // what a replay leaves
};

}  // namespace mica::training
