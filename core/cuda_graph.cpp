#include <mica/core/cuda_graph.h>
#include <mica/core/error.h>
#include <mica/core/replayed.h>

#include <fmt/format.h>

#ifdef MICA_CUDA
#include <mica/core/cuda/graph.h>
#endif

namespace mica {

#ifndef MICA_CUDA
struct CudaGraph::Recording {  // no Device of such a build is one of CUDA
  explicit Recording(Device) {}
  void capture(const std::function<void(int step)>&, int) {}
  void replay() {}
  bool captured = false;
};
ReplayedValues* ReplayedValues::of(Device) noexcept { return nullptr; }
#endif

CudaGraph::CudaGraph(Device device) {
  if (device.kind() != Device::Kind::cuda)
    throw DeviceError(fmt::format("CudaGraph: expected a CUDA device, got {}; on the CPU call the step itself", to_string(device)));
  recording_ = std::make_unique<Recording>(device);
}

CudaGraph::~CudaGraph() = default;
CudaGraph::CudaGraph(CudaGraph&&) noexcept = default;
CudaGraph& CudaGraph::operator=(CudaGraph&&) noexcept = default;

void CudaGraph::capture(const std::function<void(int step)>& step, int steps) { recording().capture(step, steps); }
void CudaGraph::replay() { recording().replay(); }
bool CudaGraph::captured() const { return recording_ && recording_->captured; }

CudaGraph::Recording& CudaGraph::recording() {
  if (!recording_) throw Error("CudaGraph: this one was moved from; use the one that it was moved to, or make another");
  return *recording_;
}

}  // namespace mica
