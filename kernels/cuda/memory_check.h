// Finding kernels that write where they should not, on any device: the bytes after every buffer hold a pattern, and what nobody
// uses holds NaN. Kernels look whether both are still there, in the stream's order, and leave the first damage they find in
// device memory. Reads beyond a buffer are not seen, except in the emulated build under AddressSanitizer.
#pragma once

#include <mica/kernels/cuda/context.h>

#include <cstddef>
#include <span>

namespace mica::kernels {

// A buffer of `bytes` at the start of a block of `size`; the first canary_bytes after it are its canary.
struct GuardedBuffer {
  unsigned char* block;
  std::size_t bytes, size;
};
inline constexpr std::size_t canary_bytes = 256;

// The first damage. With past_end the byte is counted from the buffer's end, else from its start.
struct MemoryFault {
  enum Kind : int { none, past_end, after_free };
  int kind;
  unsigned long long bytes, byte;
};

void write_canary(Cuda& cuda, const GuardedBuffer& buffer);
void check_canaries(Cuda& cuda, std::span<const GuardedBuffer> buffers, MemoryFault* fault);

// Of a block that nobody uses: NaN from start to end, and later whether it still is.
void clear_unused(Cuda& cuda, const GuardedBuffer& buffer);
void check_unused(Cuda& cuda, const GuardedBuffer& buffer, MemoryFault* fault);

// Lets kernels use so many bytes of the block from here on: in the emulated build under AddressSanitizer, else nothing.
void set_bounds(Cuda& cuda, const GuardedBuffer& buffer, std::size_t usable);

}  // namespace mica::kernels
