#include <mica/core/cuda/allocator.h>
#include <mica/core/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdint>

namespace mica {
namespace {

constexpr std::size_t alignment = 512, large_quantum = std::size_t{2} << 20;

std::size_t multiple(std::size_t bytes, std::size_t of) { return (std::max<std::size_t>(bytes, 1) + of - 1) / of * of; }

std::size_t aligned(std::size_t bytes) { return multiple(bytes, alignment); }

// One of four sizes per power of two, so that few sizes occur and at most a quarter is wasted; no more than 2 MiB of large ones.
std::size_t rounded(std::size_t bytes) {
  if (bytes <= alignment) return alignment;
  return multiple(bytes, std::clamp(std::bit_floor(bytes - 1) / 4, alignment, large_quantum));
}

}  // namespace

void* CudaAllocator::allocate(std::size_t bytes) {
  if (bytes > SIZE_MAX / 4) throw OutOfMemory(fmt::format("cannot allocate {} bytes on cuda:{}: no device has that many", bytes, device_));
  const std::lock_guard lock(mutex_);
  kernels::require_device();
  const std::size_t needed = checker_ ? bytes + kernels::canary_bytes : bytes;
  const Block block = take(bytes, needed);
  if (pool_) pooled_.emplace(block.pointer, pool_);
  try {
    if (checker_) checker_->handed_out(block.pointer, bytes, block.size);
  } catch (...) {
    (pool_ ? pool_->free : free_)[block.size].push_back(block.pointer);
    throw;
  }
  stats_.add(aligned(bytes));
  return block.pointer;
}

CudaAllocator::Block CudaAllocator::take(std::size_t bytes, std::size_t needed) {
  const std::size_t size = rounded(needed), least = aligned(needed);
  const bool may_be_tight = least < size && !tight_.empty();
  for (FreeLists* lists : {pool_ ? &pool_->free : nullptr, &free_}) {
    if (!lists) continue;
    if (void* const block = take_free(*lists, size)) return {block, size};
    if (void* const block = may_be_tight ? take_free(*lists, least) : nullptr) return {block, least};
  }
  if (void* const block = take_new(size)) return {block, size};
  if (wait_and_release())
    if (void* const block = take_new(size)) return {block, size};
  void* const block = least < size ? take_new(least) : nullptr;
  if (!block) refuse(bytes);
  tight_.emplace(block, least);
  return {block, least};
}

void CudaAllocator::refuse(std::size_t bytes) const {
  std::size_t left = 0, total = 0;
  (void)cudaMemGetInfo(&left, &total);
  throw OutOfMemory(fmt::format("cannot allocate {} bytes on cuda:{}: {} of its {} bytes are free, {} are in tensors (peak {}); "
                                "use a smaller batch",
                                bytes, device_, left, total, stats_.current, stats_.peak));
}

void* CudaAllocator::take_free(FreeLists& lists, std::size_t size) {
  const auto list = lists.find(size);
  if (list == lists.end() || list->second.empty()) return nullptr;
  void* const block = list->second.back();
  list->second.pop_back();
  return block;
}

void* CudaAllocator::take_new(std::size_t size) {
  void* block = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;  // an allocation is no work of the stream, and may come in a capture
  if (recording_) kernels::check(cudaThreadExchangeStreamCaptureMode(&mode), "allocating device memory");
  const cudaError_t error = cudaMalloc(&block, size), back = recording_ ? cudaThreadExchangeStreamCaptureMode(&mode) : cudaSuccess;
  if (error == cudaErrorMemoryAllocation) return (void)cudaGetLastError(), nullptr;  // or the next launch would be blamed for it
  if (error == cudaSuccess && back != cudaSuccess) (void)cudaFree(block);
  kernels::check(error != cudaSuccess ? error : back, "allocating device memory");
  stats_.reserved += size;
  return block;
}

void CudaAllocator::free(void* pointer, std::size_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  const std::size_t watched = checker_ ? checker_->given_back(pointer) : 0;
  const auto tight = tight_.find(pointer);
  const std::size_t size = watched ? watched : tight != tight_.end() ? tight->second : rounded(bytes);
  stats_.current -= aligned(bytes);
  if (!closed_) {
    try {
      const auto pooled = pooled_.find(pointer);
      (pooled == pooled_.end() ? free_ : pooled->second->free)[size].push_back(pointer);
      return;
    } catch (...) {  // no memory even for the list: fall through and give the block back
    }
  }
  if (!kernels::device_lost()) (void)cudaDeviceSynchronize(), (void)cudaFree(pointer);
  tight_.erase(pointer), pooled_.erase(pointer);
  stats_.reserved -= size;
}

MemoryStats CudaAllocator::stats() {
  const std::lock_guard lock(mutex_);
  return stats_;
}

std::size_t CudaAllocator::take_recent_peak() {
  const std::lock_guard lock(mutex_);
  return stats_.take_recent_peak();
}

void CudaAllocator::release_free_lists(FreeLists& lists) noexcept {
  for (auto& [size, blocks] : lists) {
    for (void* block : blocks) {
      if (checker_) checker_->forget(block);
      if (!kernels::device_lost()) (void)cudaFree(block);
      tight_.erase(block);
      pooled_.erase(block);
    }
    stats_.reserved -= size * blocks.size();
  }
  lists.clear();
}

bool CudaAllocator::wait_and_release() {
  if (recording_) return false;  // the device would not answer
  kernels::check(cudaDeviceSynchronize(), "waiting for the device");
  release_free_lists(free_);
  if (pool_) release_free_lists(pool_->free);  // nothing is recorded yet that would need them
  return true;
}

bool CudaAllocator::release_unused() {
  const std::lock_guard lock(mutex_);
  kernels::require_device();
  return wait_and_release();
}

void CudaAllocator::release_cache() {
  if (!release_unused())
    throw Error("release_cached_memory: while a CudaGraph is recorded nothing can wait for the device; do that before capture()");
}

void CudaAllocator::use_pool(MemoryPool* pool, bool recording) {
  const std::lock_guard lock(mutex_);
  if (checker_ && recording) checker_->begin_recording();
  if (checker_ && recording_) checker_->end_recording([&](void* block) { return pooled_.contains(block); });
  pool_ = pool;
  recording_ = recording;
}

void CudaAllocator::dissolve(MemoryPool& pool) noexcept {
  const std::lock_guard lock(mutex_);
  for (auto& [size, blocks] : pool.free)
    for (void* block : blocks) {
      if (checker_) checker_->close(block);
      free_[size].push_back(block);
    }
  pool.free.clear();
  std::erase_if(pooled_, [&](const auto& entry) { return entry.second == &pool; });
  if (closed_) release_free_lists(free_);
}

void CudaAllocator::watch(kernels::Cuda& cuda) {
  if (!MemoryChecker::wanted()) return;
  auto checker = std::make_unique<MemoryChecker>(cuda);  // takes memory from here
  const std::lock_guard lock(mutex_);
  checker_ = std::move(checker);
}

void CudaAllocator::unwatch() noexcept {
  std::unique_ptr<MemoryChecker> checker;  // ends after the lock, for it gives memory back
  const std::lock_guard lock(mutex_);
  checker = std::move(checker_);
}

void CudaAllocator::check_all() {
  const std::lock_guard lock(mutex_);
  if (checker_) checker_->check_all();
}

std::string CudaAllocator::found() {
  const std::lock_guard lock(mutex_);
  return checker_ ? checker_->found() : std::string();
}

void CudaAllocator::close() noexcept {
  const std::lock_guard lock(mutex_);
  if (!kernels::device_lost()) (void)cudaDeviceSynchronize();
  release_free_lists(free_);
  closed_ = true;
}

}  // namespace mica
