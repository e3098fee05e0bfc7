// What a CudaGraph holds: CUDA's graph, the memory it works on, and the values that the host gives it before each replay.
#pragma once

#include <mica/core/cuda/device.h>
#include <mica/core/cuda_graph.h>
#include <mica/core/replayed.h>
#include <mica/core/tensor.h>
#include <mica/kernels/cuda/handles.h>

#include <cstdint>

namespace mica {

struct CudaGraph::Recording final : ReplayedValues {
  explicit Recording(Device device);
  ~Recording() override;

  void capture(const std::function<void(int step)>& step, int steps);
  void replay();

  const void* place(std::size_t bytes, std::function<void(void* to)> write) override;

  const Device device;
  bool captured = false;

 private:
  void record(const std::function<void(int step)>& step, int steps);
  void discard() noexcept;  // frees what a capture made

  // A value that changes from replay to replay: write fills the bytes at `offset` of values_.
  struct Value {
    std::size_t offset;
    std::function<void(void* to)> write;
  };
  CudaDevice& cuda_;
  MemoryPool pool_;
  Tensor values_;                     // u8, on the device
  std::size_t value_bytes_ = 0;       // that the steps need, as the first time showed
  std::size_t placed_ = 0;            // of them, while recording
  bool recording_ = false;
  std::vector<Value> order_;          // in which the host writes them
  std::vector<int> sites_;            // of checks that values are in range
  kernels::Owned<cudaGraph_t, cudaGraphDestroy> graph_;
  kernels::Owned<cudaGraphExec_t, cudaGraphExecDestroy> executable_;
};

}  // namespace mica
