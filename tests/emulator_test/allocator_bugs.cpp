// Bugs with tensors, whose memory is cached: what pages cannot show, the MemoryChecker must.
#include "planted.h"

#include <mica/core/cuda/device.h>
#include <mica/core/memory.h>

#include <utility>

namespace planted {
namespace {

using mica::kernels::Cuda;

mica::Device device() { return mica::Device::cuda(); }  // not asked before the child runs

struct Buffer {
  explicit Buffer(int floats)
      : bytes(static_cast<std::size_t>(floats) * sizeof(float)), p(static_cast<float*>(mica::allocate(device(), bytes))) {}
  ~Buffer() { give_back(); }
  void give_back() {
    if (p) mica::deallocate(device(), std::exchange(p, nullptr), bytes);
  }
  std::size_t bytes;
  float* p;
};

}  // namespace

std::vector<Program> allocator_bugs() {
  return {
      {"kernel writes one past a tensor", "cuda:0: a kernel wrote to byte 0 past the end of a buffer of 252 bytes|use-after-poison", always,
       [](Bench&, bool bug) {
         Cuda& cuda = *cuda_device(device()).context;
         const Buffer x(63);
         fill(cuda, x.p, 1, bug ? 64 : 63);
         mica::synchronize(device());
       }},
      {"kernel writes one past a tensor that is then given back", "past the end of a buffer of 252 bytes|use-after-poison", always,
       [](Bench&, bool bug) {
         Cuda& cuda = *cuda_device(device()).context;
         {
           const Buffer x(63);
           fill(cuda, x.p, 1, bug ? 64 : 63);
         }
         mica::synchronize(device());
       }},
      {"kernel reads one past a tensor", "use-after-poison", always | with_asan,
       [](Bench&, bool bug) {
         Cuda& cuda = *cuda_device(device()).context;
         const Buffer x(63);
         fill(cuda, x.p, 1, 63);
         (void)host(cuda, x.p, bug ? 64 : 63);
       }},
      {"kernel writes to a tensor that was given back", "byte 0 of a buffer of 256 bytes after it was given back|use-after-poison", always,
       [](Bench&, bool bug) {
         Cuda& cuda = *cuda_device(device()).context;
         Buffer x(64);
         float* const p = x.p;
         if (bug) x.give_back();
         fill(cuda, p, 1, 64);
         if (!bug) x.give_back();
         const Buffer y(64);  // the same memory
         mica::synchronize(device());
       }},
      {"kernel reads a tensor that was given back", "wrong result|use-after-poison", always,
       [](Bench&, bool bug) {
         Cuda& cuda = *cuda_device(device()).context;
         Buffer x(64);
         float* const p = x.p;
         fill(cuda, p, 1, 64);
         if (bug) x.give_back();
         expect(host(cuda, p, 64)[0] == 1, "wrong result");
       }},
      {"tensor that nothing wrote to", "wrong result", always,
       [](Bench&, bool bug) {
         Cuda& cuda = *cuda_device(device()).context;
         {
           const Buffer earlier(64);
           fill(cuda, earlier.p, 0, 64);
         }
         const Buffer x(64);  // the same memory
         if (!bug) fill(cuda, x.p, 0, 64);
         expect(host(cuda, x.p, 64)[0] == 0, "wrong result");
       }},
      {"host reads a tensor's memory", "host code dereferenced a device pointer", always,
       [](Bench&, bool bug) {
         const Buffer x(64);
         fill(*cuda_device(device()).context, x.p, 1, 64);
         mica::synchronize(device());
         if (bug) (void)*static_cast<volatile float*>(x.p);
       }},
  };
}

}  // namespace planted
