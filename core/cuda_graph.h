// A training step, or several, recorded once as a CUDA graph and then replayed: the device gets all kernels of a step in one
// go, and the host no longer pays for each of their launches. The bits are those of the steps themselves.
//
//   CudaGraph graph;
//   graph.capture([&](int) {                      // has done one step when it returns
//     optimizer.zero_grad();
//     loss = nll_loss(network(images), labels);
//     loss.backward();
//     optimizer.step();
//   });
//   while (loader.refill(batch)) graph.replay();  // images and labels are the batch's own tensors, filled anew
//
// What a replay does is what was recorded, on the same memory: the same tensors are read and written (images, labels, loss,
// parameters), so new inputs are copied into the old ones, what goes on from step to step is changed in place, and every tensor
// from before the capture that a step reads must be kept. The learning rate, momentum, the steps that optimizers count and the random
// numbers of dropout go on as they would (core/replayed.h). Host code inside the step runs in capture() only, twice: what it
// chooses stays chosen (train() or eval(), a dropout's p, policies, the seed), and random numbers of a key and the batches of a
// loader would be the same at each replay, so they are made outside. A captured forward's backward is captured too.
#pragma once

#include <mica/core/device.h>

#include <functional>
#include <memory>

namespace mica {

class CudaGraph {
 public:
  explicit CudaGraph(Device device = Device::cuda());  // throws DeviceError unless it is a CUDA device
  ~CudaGraph();
  CudaGraph(CudaGraph&&) noexcept;
  CudaGraph& operator=(CudaGraph&&) noexcept;

  // Does step(0), …, step(steps − 1) as they are, so that all that is made at a first use is there, and then calls them once
  // more to record them. No other thread may use the device meanwhile. Tensors that are made in there get memory that is the
  // graph's own for its lifetime; what they hold is undefined until the first replay. The network and the optimizer must outlive
  // the graph, where they are. Throws Error, naming the op, where a step that is recorded reads a tensor of the device, copies to it from the
  // host, or waits for it; then the steps were done once and there is nothing to replay.
  void capture(const std::function<void(int step)>& step, int steps = 1);

  // Queues all that was recorded. Waits for nothing but, where several replays are under way, for the numbers of the eighth before it
  // to have been copied. Throws Error before capture(). Where it fails, optimizers and dropout have counted
  // a step that was not done.
  void replay();

  bool captured() const;

  struct Recording;  // core/cuda/graph.h

 private:
  Recording& recording();
  std::unique_ptr<Recording> recording_;
};

}  // namespace mica
