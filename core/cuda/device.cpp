#include <mica/core/context.h>
#include <mica/core/cuda/device.h>
#include <mica/core/error.h>
#include <mica/core/settings.h>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>

namespace mica {

using kernels::check;

namespace {

constexpr std::size_t staging_bytes = std::size_t{1} << 20;

}  // namespace

CudaDevice::CudaDevice(int index) : allocator(index) {
  try {
    check(cudaSetDevice(index), "choosing a device");
    context = std::make_unique<kernels::Cuda>(index, allocator, settings());
    fault_ = std::make_unique<kernels::Pinned>(sizeof(kernels::RangeFault));  // now: where memory runs out, waiting must go on
    allocator.watch(*context);
  } catch (...) {
    close();
    throw;
  }
}

// ---- copies ----

// The one that was used longest ago: what it holds has been copied, or is waited for.
CudaDevice::Staging& CudaDevice::next_staging() {
  std::optional<Staging>& next = staging_[next_staging_++ % staging_.size()];
  if (!next) {
    try {
      next.emplace(staging_bytes);
    } catch (const OutOfMemory&) {  // saving what there is must go on: with the buffers that there are
      if (std::ranges::none_of(staging_, [](const auto& staging) { return staging.has_value(); })) throw;
      return next_staging();
    }
  } else if (next->in_flight) context->stream().synchronize();
  else next->copied.synchronize();
  next->in_flight = true;
  return *next;
}

void CudaDevice::upload(const char* what, void* target, const void* source, std::size_t bytes) {
  const std::lock_guard lock(transfer_);
  require_not_recording(what);
  for (std::size_t at = 0; at < bytes; at += staging_bytes) {
    const std::size_t count = std::min(staging_bytes, bytes - at);
    Staging& s = next_staging();
    std::memcpy(s.memory.get(), static_cast<const char*>(source) + at, count);
    check(cudaMemcpyAsync(static_cast<char*>(target) + at, s.memory.get(), count, cudaMemcpyHostToDevice, context->stream().get()),
          "copying to the device");
    s.copied.record(context->stream());
    s.in_flight = false;
  }
}

void CudaDevice::download(const char* what, void* target, const void* source, std::size_t bytes) {
  const std::lock_guard lock(transfer_);
  require_not_recording(what);
  for (std::size_t at = 0; at < bytes; at += staging_bytes) {
    const std::size_t count = std::min(staging_bytes, bytes - at);
    Staging& s = next_staging();
    check(cudaMemcpyAsync(s.memory.get(), static_cast<const char*>(source) + at, count, cudaMemcpyDeviceToHost, context->stream().get()),
          "copying from the device");
    finish();
    s.in_flight = false;
    std::memcpy(static_cast<char*>(target) + at, s.memory.get(), count);
  }
}

void CudaDevice::copy(void* target, const void* source, std::size_t bytes) {
  check(cudaMemcpyAsync(target, source, bytes, cudaMemcpyDeviceToDevice, context->stream().get()), "copying on the device");
}

void CudaDevice::synchronize(const char* what) {
  const std::lock_guard lock(transfer_);
  require_not_recording(what);
  finish();
}

// ---- graphs ----

void CudaDevice::require_not_recording(const char* what) const {
  if (!recording_) return;
  const char* const before = context->last_launch();
  throw Error(fmt::format("{}: while a CudaGraph is recorded the host can neither read the device's memory, nor copy to it, nor wait "
                          "for it; do that before capture() or after replay() (the last kernel before this was {})",
                          what, *before ? before : "none"));
}

void CudaDevice::begin_recording() {
  const std::lock_guard lock(transfer_);
  recording_ = true;
}

void CudaDevice::end_recording() noexcept {
  const std::lock_guard lock(transfer_);
  recording_ = false;
}

void CudaDevice::forget_sites(const std::vector<int>& sites) noexcept {
  const std::lock_guard lock(transfer_);
  for (const int site : sites) {
    const auto gone = recorded_.find(site);
    if (gone != recorded_.end()) gone->second.forgotten = true;  // until replays that were queued have ended
  }
}

// ---- values out of range ----

// The lock is held until the launch: a synchronisation by another thread before it would take the description away.
void CudaDevice::watch(Description description, const std::function<void(int site)>& launch) {
  const std::lock_guard lock(transfer_);
  if (recording_) {
    recorded_.emplace(next_recorded_, Recorded{std::move(description)});
    recorded_sites_.push_back(next_recorded_);
    return launch(next_recorded_++);
  }
  if (watched_.size() == most_watched) finish();
  watched_.push_back(std::move(description));
  launch(static_cast<int>(watched_.size()));
}

void CudaDevice::finish() {
  allocator.check_all();
  const std::string out_of_range = finish_watched(), damage = allocator.found();
  if (!damage.empty()) throw Error(damage);
  if (!out_of_range.empty()) throw Error(out_of_range);
}

std::string CudaDevice::finish_watched() {
  if (watched_.empty() && recorded_.empty()) return context->stream().synchronize(), std::string();
  check(cudaMemcpyAsync(fault_->get(), context->range_fault(), sizeof(kernels::RangeFault), cudaMemcpyDeviceToHost, context->stream().get()),
        "copying from the device");
  context->stream().synchronize();
  const auto fault = *static_cast<const kernels::RangeFault*>(fault_->get());
  if (fault.site != 0) context->clear_range_fault();  // before descriptions are dropped: where this fails, the next call finds both
  const std::vector<Description> watched = std::exchange(watched_, {});
  std::string text;
  if (fault.site > static_cast<std::int64_t>(most_watched)) {
    text = recorded_.at(static_cast<int>(fault.site)).description(fault.position, fault.value);
  } else if (fault.site != 0) {
    text = watched.at(static_cast<std::size_t>(fault.site) - 1)(fault.position, fault.value);
  }
  std::erase_if(recorded_, [](const auto& entry) { return entry.second.forgotten; });
  return text;
}

// ---- all devices ----

void CudaDevice::close() noexcept {
  try {
    if (context) context->stream().synchronize();  // copies may still use the staging buffers
  } catch (const Error&) {  // nobody is left to hear of it
  }
  staging_ = {};
  fault_.reset();
  allocator.unwatch();
  if (context) context->leave_libraries();
  context.reset();
  allocator.close();
}

namespace {

std::atomic<CudaDevice*> only = nullptr;  // Mica uses one device so far (core/device.cpp)

}  // namespace

CudaDevice& cuda_device(Device device) {
  // Closed when the program ends and never destroyed: tensors in static storage may outlive this.
  static CudaDevice& made = *(only = new CudaDevice(device.index()));
  struct Closer {
    ~Closer() { only.load()->close(); }
  };
  static const Closer closer;
  return made;
}

CudaDevice& existing_cuda_device() noexcept { return *only; }

int cuda_device_count(std::string& reason) {
  int count = 0;  // stays where the call fails
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) {
    const cudaError_t loaded = kernels::load_kernels();
    if (loaded == cudaSuccess) return count;
    if (loaded != cudaErrorNoKernelImageForDevice && loaded != cudaErrorInvalidDeviceFunction && loaded != cudaErrorUnsupportedPtxVersion) {
      reason = fmt::format("the CUDA device cannot be used: {}, {}", cudaGetErrorName(loaded), cudaGetErrorString(loaded));
      return 0;
    }
    int major = 0, minor = 0;
    (void)cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
    (void)cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0);
    reason = fmt::format("this build has no code for the device's compute capability {}.{}; configure with "
                         "-DCMAKE_CUDA_ARCHITECTURES={}{} (7.5 is the oldest)",
                         major, minor, major, minor);
    return 0;
  }
  (void)cudaGetLastError();
  if (error == cudaErrorInsufficientDriver)
    reason = "this machine has no NVIDIA driver, or one older than this build's CUDA runtime";
  else if (error == cudaErrorNoDevice || error == cudaSuccess) reason = "the NVIDIA driver finds no device";
  else reason = fmt::format("the CUDA runtime says {}: {}", cudaGetErrorName(error), cudaGetErrorString(error));
  return 0;
}

kernels::Cuda& cuda_context(Device device) { return *cuda_device(device).context; }

}  // namespace mica
