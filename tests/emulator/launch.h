// Starting a kernel: it becomes work of the stream, and runs when the stream gets that far. Unless EMULATOR_RERUN=0, every
// kernel then runs twice, in an order of its blocks, warps and lanes and in its reverse, from the same memory: if they leave different
// bits, its blocks race with one another or a barrier is missing, and the launch fails. Memory in which a kernel used atomicCAS or
// atomicExch is not compared: they let the first comer win.
#pragma once

#include "device.h"
#include "multiprocessor.h"

#include <type_traits>
#include <utility>
#include <vector>

namespace emulator {

// Dynamic shared memory that the kernel may ask for: what cudaFuncSetAttribute has allowed it, or what every kernel may.
std::size_t dynamic_limit(const void* kernel);

bool valid(const dim3& grid, const dim3& block, std::size_t dynamic_bytes, std::size_t most_dynamic);  // as every GPU from sm_75 on allows

void run_kernel(const Kernel& kernel);  // now; throws KernelError

// The arguments are copied. Pointers among them must be live device memory when the kernel runs; pointers inside structs
// are found by their use.
template <class... P>
cudaError_t launch(cudaStream_t stream, const char* name, void (*kernel)(P...), dim3 grid, dim3 block, std::size_t dynamic_bytes,
                   std::type_identity_t<P>... arguments) {
  const std::size_t most_dynamic = dynamic_limit(reinterpret_cast<const void*>(kernel));
  const std::size_t most_shared = most_dynamic > SharedMemory::limit ? SharedMemory::limit_on_request : SharedMemory::limit;
  if (!valid(grid, block, dynamic_bytes, most_dynamic)) return refuse_call(cudaErrorInvalidConfiguration);
  std::vector<Buffer> buffers;
  [[maybe_unused]] const auto note = [&](const auto& argument) {
    if constexpr (std::is_pointer_v<std::decay_t<decltype(argument)>>)
      if (argument) buffers.push_back({argument, 1});
  };
  (note(arguments), ...);
  return enqueue(stream, name, std::move(buffers), [=] {
    const auto body = [&] { kernel(arguments...); };
    run_kernel({name, grid, block, dynamic_bytes, most_shared, [](const void* b) { (*static_cast<decltype(body)*>(b))(); }, &body});
  });
}

}  // namespace emulator
