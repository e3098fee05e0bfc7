// Memory of any device, and copies between them. Copies are bytes; what is on CUDA happens in the order of its stream.
#pragma once

#include <mica/core/allocator.h>
#include <mica/core/device.h>

#include <cstddef>

namespace mica {

void* allocate(Device device, std::size_t bytes);  // never null; throws OutOfMemory
void deallocate(Device device, void* pointer, std::size_t bytes) noexcept;

// On return `from` may be changed, and what is on the CPU is there. A copy to the CPU waits for the device, and throws what
// kernels found out of range since the last time (core/range.h). `what` names the caller in errors.
void copy_bytes(const char* what, Device to, void* target, Device from, const void* source, std::size_t bytes);

// Waits until the device has done all that it was given; throws as copy_bytes does. Returns at once for the CPU.
void synchronize(Device device);

MemoryStats memory_stats(Device device);
std::size_t take_recent_peak(Device device);  // the most bytes in tensors since the last call of this
void release_cached_memory(Device device);  // gives what no tensor uses back to the system

}  // namespace mica
