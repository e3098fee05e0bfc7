// Making calls fail, and counting them.
#include "device.h"
#include "runtime.h"

namespace emulator {

// Of these driver_types.h says that the process must be terminated and relaunched.
bool is_sticky(cudaError_t error) {
  switch (static_cast<int>(error)) {
    case 226: case 700: case 702: case 710: case 714: case 715: case 716: case 717: case 718: case 719: case 721: case 810: case 911:
      return true;
    default:
      return false;
  }
}

const char* name_of(Call kind) {
  constexpr const char* names[call_kinds] = {"allocation", "launch", "copy", "wait", "graph", "library"};
  return names[static_cast<std::size_t>(kind)];
}

void fail(Call kind, int nth, cudaError_t error, bool ever_after) {
  const std::lock_guard lock(runtime().mutex);
  calls(kind) = {calls(kind).seen, nth, error, ever_after};
}

void fail_nothing() {
  const std::lock_guard lock(runtime().mutex);
  for (Calls& kind : runtime().calls) kind.left = 0;
}

int count(Call kind) {
  const std::lock_guard lock(runtime().mutex);
  return calls(kind).seen;
}

int count_all() {
  const std::lock_guard lock(runtime().mutex);
  return runtime().all_calls;
}

void refuse_proposals(int count) {
  const std::lock_guard lock(runtime().mutex);
  runtime().refused_ranks = static_cast<std::size_t>(count);
}

bool refuses_proposal(std::size_t rank) {
  const std::lock_guard lock(runtime().mutex);
  const bool refused = rank < runtime().refused_ranks;
  runtime().refused += refused;
  return refused;
}

int refused_proposals() {
  const std::lock_guard lock(runtime().mutex);
  return runtime().refused;
}

cudaError_t library_call() {
  const std::lock_guard lock(runtime().mutex);
  const cudaError_t fault = calls(Call::library).tick();
  if (is_sticky(fault)) runtime().sticky = fault;
  return fault;
}

}  // namespace emulator
