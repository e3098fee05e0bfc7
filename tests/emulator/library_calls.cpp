// What all emulated libraries share: failing one of their calls, and counting the work that they submitted.
#include "device.h"
#include "runtime.h"

namespace emulator {

bool library_call() {
  const std::lock_guard lock(runtime().mutex);
  return runtime().library_fault.tick() != cudaSuccess;
}

void fail_library_call(int nth) {
  const std::lock_guard lock(runtime().mutex);
  runtime().library_fault = {nth, cudaErrorUnknown};
}

int submitted(std::string_view prefix) {
  const std::lock_guard lock(runtime().mutex);
  int count = 0;
  for (const auto& [name, times] : runtime().submitted)
    if (name.starts_with(prefix)) count += times;
  return count;
}

}  // namespace emulator
