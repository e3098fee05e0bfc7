#include <mica/core/cuda/graph.h>
#include <mica/core/error.h>

#include <fmt/format.h>

namespace mica {

using kernels::check;

namespace {

constexpr std::size_t alignment = 16;  // of every value

thread_local CudaGraph::Recording* under_way = nullptr;  // the capture of this thread

struct Ending {
  std::function<void()> f;
  ~Ending() { f(); }
};

}  // namespace

ReplayedValues* ReplayedValues::of(Device device) noexcept { return under_way && under_way->device == device ? under_way : nullptr; }

CudaGraph::Recording::Recording(Device on) : device(on), cuda_(cuda_device(on)) {}

CudaGraph::Recording::~Recording() { discard(); }

void CudaGraph::Recording::discard() noexcept {
  captured = false;
  executable_ = {};
  graph_ = {};
  values_ = Tensor();
  order_.clear();
  cuda_.forget_sites(sites_);
  sites_.clear();
  cuda_.allocator.dissolve(pool_);
}

void CudaGraph::Recording::capture(const std::function<void(int step)>& step, int steps) {
  if (steps < 1) throw Error(fmt::format("CudaGraph::capture: expected 1 step or more, got {}", steps));
  if (under_way) throw Error("CudaGraph::capture: another capture is under way on this thread; end its step first");
  discard();
  value_bytes_ = placed_ = 0;
  under_way = this;
  const Ending ending{[&] {
    under_way = nullptr;
    cuda_.allocator.use_pool(nullptr, false);
    if (!captured) discard();
  }};
  cuda_.allocator.use_pool(&pool_, false);
  for (int i = 0; i < steps; ++i) step(i);
  values_ = Tensor::empty({static_cast<std::int64_t>(value_bytes_)}, DType::u8, device);
  record(step, steps);
}

void CudaGraph::Recording::record(const std::function<void(int step)>& step, int steps) {
  const cudaStream_t stream = cuda_.context->stream().get();
  cuda_.allocator.use_pool(&pool_, true);
  cuda_.begin_recording();
  recording_ = true;
  try {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "beginning a capture");
    for (int i = 0; i < steps; ++i) step(i);
  } catch (...) {
    recording_ = false;
    if (!kernels::device_lost()) {
      (void)cudaStreamEndCapture(stream, graph_.out());  // or the stream would stay unusable
      (void)cudaGetLastError();
    }
    cuda_.end_recording();
    sites_ = cuda_.take_recorded_sites();
    throw;
  }
  recording_ = false;
  const cudaError_t ended = cudaStreamEndCapture(stream, graph_.out());
  cuda_.end_recording();
  sites_ = cuda_.take_recorded_sites();
  check(ended, "ending a capture");
  check(cudaGraphInstantiate(executable_.out(), graph_.get(), 0), "making a graph of what was captured");
  captured = true;
}

const void* CudaGraph::Recording::place(std::size_t bytes, std::function<void(void* to)> write) {
  const std::size_t size = (bytes + alignment - 1) / alignment * alignment;
  if (!recording_) return value_bytes_ += size, nullptr;
  if (placed_ + size > value_bytes_)
    throw Error("CudaGraph: a step asked for more numbers of the host than the time before; a step that is captured must do the same "
                "every time");
  order_.push_back({placed_, std::move(write)});
  placed_ += size;
  return values_.data<std::uint8_t>() + order_.back().offset;
}

void CudaGraph::Recording::replay() {
  if (!captured) throw Error("CudaGraph::replay: there is nothing to replay; call capture() first");
  std::vector<std::uint8_t> now(placed_);
  for (const Value& value : order_) value.write(now.data() + value.offset);
  if (placed_ > 0) cuda_.upload("CudaGraph::replay", values_.data<std::uint8_t>(), now.data(), placed_);
  cuda_.context->launched("a CudaGraph's replay");
  check(cudaGraphLaunch(executable_.get(), cuda_.context->stream().get()), "replaying a graph");
}

}  // namespace mica
