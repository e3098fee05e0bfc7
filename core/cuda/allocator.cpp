#include <mica/core/cuda/allocator.h>
#include <mica/core/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdint>

namespace mica {
namespace {

constexpr std::size_t alignment = 512;

// One of four sizes per power of two: at most a quarter is wasted, and few sizes occur.
std::size_t rounded(std::size_t bytes) {
  if (bytes <= alignment) return alignment;
  const std::size_t quantum = std::max(alignment, std::bit_floor(bytes - 1) / 4);
  return (bytes + quantum - 1) / quantum * quantum;
}

}  // namespace

void* CudaAllocator::allocate(std::size_t bytes) {
  if (bytes > SIZE_MAX / 4) throw OutOfMemory(fmt::format("cannot allocate {} bytes on cuda:{}: no device has that many", bytes, device_));
  const std::lock_guard lock(mutex_);
  const std::size_t size = rounded(checker_ ? bytes + kernels::canary_bytes : bytes);
  void* const block = take(bytes, size);
  if (checker_) checker_->handed_out(block, bytes, size);
  stats_.current += rounded(bytes);
  stats_.peak = std::max(stats_.peak, stats_.current);
  return block;
}

void* CudaAllocator::take(std::size_t bytes, std::size_t size) {
  void* block = nullptr;
  if (auto list = free_.find(size); list != free_.end() && !list->second.empty()) {
    block = list->second.back();
    list->second.pop_back();
    return block;
  }
  cudaError_t error = cudaMalloc(&block, size);
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();  // or the next launch would be blamed for it
    (void)cudaDeviceSynchronize();
    release_free_lists();
    error = cudaMalloc(&block, size);
  }
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    std::size_t left = 0, total = 0;
    (void)cudaMemGetInfo(&left, &total);
    throw OutOfMemory(fmt::format("cannot allocate {} bytes on cuda:{}: {} of its {} bytes are free, {} are in tensors (peak {}); "
                                  "use a smaller batch",
                                  bytes, device_, left, total, stats_.current, stats_.peak));
  }
  kernels::check(error, "allocating device memory");
  stats_.reserved += size;
  return block;
}

void CudaAllocator::free(void* pointer, std::size_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  const std::size_t watched = checker_ ? checker_->given_back(pointer) : 0, size = watched ? watched : rounded(bytes);
  stats_.current -= rounded(bytes);
  if (!closed_) {
    try {
      free_[size].push_back(pointer);
      return;
    } catch (...) {  // no memory even for the list: fall through and give the block back
    }
  }
  (void)cudaDeviceSynchronize();
  (void)cudaFree(pointer);
  stats_.reserved -= size;
}

MemoryStats CudaAllocator::stats() {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void CudaAllocator::release_free_lists() noexcept {
  for (auto& [size, blocks] : free_) {
    for (void* block : blocks) {
      if (checker_) checker_->forget(block);
      (void)cudaFree(block);
    }
    stats_.reserved -= size * blocks.size();
  }
  free_.clear();
}

void CudaAllocator::release_cache() {
  const std::lock_guard lock(mutex_);
  kernels::check(cudaDeviceSynchronize(), "waiting for the device");
  release_free_lists();
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
  (void)cudaDeviceSynchronize();
  release_free_lists();
  closed_ = true;
}

}  // namespace mica
