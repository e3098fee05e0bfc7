#include <mica/kernels/cuda/launch.h>
#include <mica/kernels/cuda/memory_check.h>
#include <mica/kernels/cuda/pack.h>

#include <algorithm>

namespace mica::kernels {
namespace {

constexpr unsigned char canary = 0xA5, unused = 0xFF;  // 0xFF in every byte is NaN for every float type

// Whoever sees damage to the bytes at p looks for the first: so the same one is named every time.
MICA_BEYOND_BOUNDS MICA_DEVICE void note(MemoryFault* fault, MemoryFault::Kind kind, unsigned long long bytes, const unsigned char* p,
                                         unsigned char whole) {
  if (atomicCAS(&fault->kind, MemoryFault::none, kind) != MemoryFault::none) return;
  unsigned long long first = 0;
  while (p[first] == whole) ++first;
  fault->bytes = bytes, fault->byte = first;
}

// As many buffers as fit into a kernel's arguments; a block of canary_bytes threads looks at one.
struct Batch {
  static constexpr std::size_t most = 64;
  GuardedBuffer buffers[most];
};

MICA_BEYOND_BOUNDS __global__ void check_canaries_kernel(Batch batch, MemoryFault* fault) {
  const GuardedBuffer& b = batch.buffers[blockIdx.x];
  if (b.block[b.bytes + threadIdx.x] != canary) note(fault, MemoryFault::past_end, b.bytes, b.block + b.bytes, canary);
}

// 16 bytes a thread and step.
__global__ void check_unused_kernel(GuardedBuffer b, unsigned packs, MemoryFault* fault) {
  for (unsigned p = first_item(); p < packs; p += item_step()) {
    const auto pack = load_pack(reinterpret_cast<const unsigned*>(b.block) + p * Pack<unsigned>::size);
    for (const unsigned word : pack.at)
      if (word != ~0u) return note(fault, MemoryFault::after_free, b.bytes, b.block, unused);
  }
}

}  // namespace

void write_canary(Cuda& cuda, const GuardedBuffer& b) {
  check(cudaMemsetAsync(b.block + b.bytes, canary, canary_bytes, cuda.stream().get()), "filling device memory");
}

void check_canaries(Cuda& cuda, std::span<const GuardedBuffer> buffers, MemoryFault* fault) {
  for (std::size_t at = 0; at < buffers.size(); at += Batch::most) {
    const auto some = buffers.subspan(at, std::min(Batch::most, buffers.size() - at));
    Batch batch{};
    std::copy(some.begin(), some.end(), batch.buffers);
    launch(cuda, "check_canaries", check_canaries_kernel, {dim3(static_cast<unsigned>(some.size())), dim3(canary_bytes)}, batch, fault);
  }
}

void clear_unused(Cuda& cuda, const GuardedBuffer& b) {
  check(cudaMemsetAsync(b.block, unused, b.size, cuda.stream().get()), "filling device memory");
}

void check_unused(Cuda& cuda, const GuardedBuffer& b, MemoryFault* fault) {
  const auto packs = static_cast<i64>(b.size / 16);
  launch(cuda, "check_unused", check_unused_kernel, grid_for(cuda, packs), b, static_cast<unsigned>(packs), fault);
}

void set_bounds(Cuda& cuda, const GuardedBuffer& b, std::size_t usable) { limit_bounds(cuda, b.block, usable, b.size); }

}  // namespace mica::kernels
