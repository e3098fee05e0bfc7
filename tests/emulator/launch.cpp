#include "launch.h"

#include "memory.h"
#include "runtime.h"

namespace emulator {

std::size_t dynamic_limit(const void* kernel) {
  const std::lock_guard lock(runtime().mutex);
  const auto allowed = runtime().dynamic_limits.find(kernel);
  return allowed == runtime().dynamic_limits.end() ? SharedMemory::limit : allowed->second;
}

bool valid(const dim3& grid, const dim3& block, std::size_t dynamic_bytes, std::size_t most_dynamic) {
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  return grid.x && grid.y && grid.z && grid.x <= 0x7fffffffu && grid.y <= 65535 && grid.z <= 65535 && threads && threads <= 1024 &&
         block.z <= 64 && dynamic_bytes <= most_dynamic;
}

void run_kernel(const Kernel& kernel) {
  static std::uint64_t launches = 0;  // no two launches run in the same random order
  const Options& options = runtime().options;
  const std::uint64_t seed = Random(options.order_seed).next() + Random(launches++).next();
  if (!options.rerun || tsan::on) return multiprocessor().run(kernel, {options.order, seed, false});
  Recording recording;
  multiprocessor().run(kernel, {options.order, seed, false});
  recording.rewind();
  multiprocessor().run(kernel, {options.order, seed, true});
  if (const auto difference = recording.difference())
    throw KernelError("its results depend on the order in which blocks and warps run: blocks race, or a barrier is missing; byte " +
                      std::to_string(difference->byte) + " of device allocation #" + std::to_string(difference->block->id) + " (" +
                      std::to_string(difference->block->size) + " bytes)");
}

}  // namespace emulator
