#include "launch.h"

#include "memory.h"
#include "runtime.h"

namespace emulator {
namespace {

Order another(Order order) { return order == Order::forward ? Order::reverse : order == Order::reverse ? Order::forward : Order::random; }

}  // namespace

bool valid(const dim3& grid, const dim3& block, std::size_t dynamic_bytes) {
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  return grid.x && grid.y && grid.z && grid.x <= 0x7fffffffu && grid.y <= 65535 && grid.z <= 65535 && threads && threads <= 1024 &&
         block.z <= 64 && dynamic_bytes <= SharedMemory::limit;
}

void run_kernel(const Kernel& kernel) {
  static std::uint64_t launches = 0;  // no two launches run in the same random order
  const Options& options = runtime().options;
  Random random(options.order_seed * 1'000'003u + launches++);
  if (!options.rerun || tsan::on) return multiprocessor().run(kernel, options.order, random);
  Recording recording;
  multiprocessor().run(kernel, options.order, random);
  recording.rewind();
  multiprocessor().run(kernel, another(options.order), random);
  if (const auto difference = recording.difference())
    throw KernelError("its results depend on the order in which blocks and warps run: blocks race, or a barrier is missing; byte " +
                      std::to_string(difference->byte) + " of device allocation #" + std::to_string(difference->block->id) + " (" +
                      std::to_string(difference->block->size) + " bytes)");
}

}  // namespace emulator
