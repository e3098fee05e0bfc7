#include <mica/core/memory.h>

#include <cstring>

#ifdef MICA_CUDA
#include <mica/core/cuda/device.h>
#endif

namespace mica {

#ifdef MICA_CUDA
namespace {

bool is_cuda(Device device) { return device.kind() == Device::Kind::cuda; }

}  // namespace

void* allocate(Device device, std::size_t bytes) {
  return is_cuda(device) ? cuda_device(device).allocator.allocate(bytes) : allocate_host(bytes);
}

void deallocate(Device device, void* pointer, std::size_t bytes) noexcept {
  if (is_cuda(device)) existing_cuda_device().allocator.free(pointer, bytes);
  else free_host(pointer, bytes);
}

void copy_bytes(const char* what, Device to, void* target, Device from, const void* source, std::size_t bytes) {
  if (bytes == 0) return;
  if (is_cuda(to) && is_cuda(from)) cuda_device(to).copy(target, source, bytes);
  else if (is_cuda(to)) cuda_device(to).upload(what, target, source, bytes);
  else if (is_cuda(from)) cuda_device(from).download(what, target, source, bytes);
  else std::memmove(target, source, bytes);
}

void synchronize(Device device) {
  if (is_cuda(device)) cuda_device(device).synchronize("synchronize");
}

MemoryStats memory_stats(Device device) { return is_cuda(device) ? cuda_device(device).allocator.stats() : host_memory_stats(); }

std::size_t take_recent_peak(Device device) { return is_cuda(device) ? cuda_device(device).allocator.take_recent_peak() : take_recent_host_peak(); }

void release_cached_memory(Device device) {
  if (is_cuda(device)) cuda_device(device).allocator.release_cache();
  else release_host_cache();
}
#else
void* allocate(Device, std::size_t bytes) { return allocate_host(bytes); }
void deallocate(Device, void* pointer, std::size_t bytes) noexcept { free_host(pointer, bytes); }
void copy_bytes(const char*, Device, void* target, Device, const void* source, std::size_t bytes) {
  if (bytes > 0) std::memmove(target, source, bytes);
}
void synchronize(Device) {}
MemoryStats memory_stats(Device) { return host_memory_stats(); }
std::size_t take_recent_peak(Device) { return take_recent_host_peak(); }
void release_cached_memory(Device) { release_host_cache(); }
#endif

}  // namespace mica
