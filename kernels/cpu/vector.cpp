#include <mica/kernels/cpu/vector.h>

#include <algorithm>
#include <atomic>

namespace mica::kernels {
namespace {

InstructionSet of_this_machine() {
#ifdef MICA_X86_VECTORS
  if (__builtin_cpu_supports("avx512f")) return InstructionSet::avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return InstructionSet::avx2;
#endif
  return InstructionSet::portable;
}

std::atomic<InstructionSet>& setting() {
  static std::atomic<InstructionSet> best = of_this_machine();
  return best;
}

}  // namespace

InstructionSet instruction_set() { return setting().load(std::memory_order_relaxed); }

void limit_instruction_set(InstructionSet most) { setting() = std::min(most, of_this_machine()); }

}  // namespace mica::kernels
