#include "fault.h"

#include "memory.h"
#include "multiprocessor.h"
#include "report.h"

#include <signal.h>

#include <cstdio>
#include <cstdlib>

namespace emulator {
namespace {

struct sigaction previous;

void explain(const Block& b, const char* address) {
  char where[160], thread[120] = "";
  std::snprintf(where, sizeof where, "%p: byte %td of %s%s allocation #%d (%zu bytes)", static_cast<const void*>(address),
                address - b.begin, b.live ? "" : "freed ", b.device ? "device" : "pinned", b.id, b.size);
  if (Fibre::running())
    std::snprintf(thread, sizeof thread, " in block (%u,%u,%u) thread (%u,%u,%u)", here.block.x, here.block.y, here.block.z, here.thread.x,
                  here.thread.y, here.thread.z);
  const bool inside = b.live && address < b.begin + b.size;
  if (running()) report("'%s' made an illegal access%s to %s", running(), thread, where);
  else if (b.device) report("host code dereferenced a device pointer, %s", where);
  else if (inside) report("host code touched pinned memory that a copy in flight uses, %s", where);
  else report("host code made an illegal access to %s", where);
}

void on_fault(int, siginfo_t* info, void*) {
  const auto* const address = static_cast<const char*>(info->si_addr);
  if (open_at(address)) return;
  if (const Fibre* fibre = Fibre::running(); fibre && fibre->overflowed(address))
    report("'%s' needs more than %zu KB of stack in a thread", running(), Fibre::stack_bytes >> 10);
  else if (const Block* b = near(address)) explain(*b, address);
  sigaction(SIGSEGV, &previous, nullptr);  // the instruction faults once more
}

// For the handler: a fibre's stack may be what has overflowed.
void use_another_stack() {
  stack_t stack = {};
  if (sigaltstack(nullptr, &stack) == 0 && !(stack.ss_flags & SS_DISABLE)) return;
  stack.ss_flags = 0, stack.ss_size = 64 << 10, stack.ss_sp = std::malloc(stack.ss_size);
  sigaltstack(&stack, nullptr);
}

}  // namespace

void handle_faults() {
  use_another_stack();
  struct sigaction action = {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  struct sigaction replaced;
  sigaction(SIGSEGV, &action, &replaced);
  if (replaced.sa_sigaction != on_fault) previous = replaced;
}

}  // namespace emulator
