#include "fibre.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>
#include <utility>

namespace emulator {
namespace {

constexpr std::size_t page = 4096;

// Where resume was called.
struct Scheduler {
  Fibre* running = nullptr;
  void *fake_stack = nullptr, *tsan = nullptr;
  const void* stack = nullptr;
  std::size_t stack_bytes = 0;
#if !defined(__x86_64__) || defined(EMULATOR_UCONTEXT)
  ucontext_t context;
#else
  void* stack_pointer = nullptr;
#endif
};
Scheduler scheduler;

}  // namespace

#if defined(__x86_64__) && !defined(EMULATOR_UCONTEXT)
// Saves what the System V calling convention lets a callee expect, and takes up another stack that was left this way.
__attribute__((naked, noinline, no_sanitize("address", "undefined"))) static void switch_stack(void** /*left*/, void* /*taken up*/) {
  asm("push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15; mov %rsp, (%rdi);"
      "mov %rsi, %rsp; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp; ret");
}

void Fibre::prepare() {
  static unsigned made = 0;  // stacks begin at different places, or they would all share one set of the cache
  auto** top = reinterpret_cast<void**>(stack_ + stack_bytes - made++ % 32 * 128) - 1;
  *top-- = nullptr;                        // no caller
  *top = reinterpret_cast<void*>(&begin);  // what ret takes up
  stack_pointer_ = top - 6;                // six registers
}
#else
void Fibre::prepare() {
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_;
  context_.uc_stack.ss_size = stack_bytes;
  context_.uc_link = nullptr;
  makecontext(&context_, &begin, 0);
}
#endif

Fibre::Fibre(void (*body)()) : body_(body) {
  void* memory = mmap(nullptr, page + stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, page, PROT_NONE);
  stack_ = static_cast<char*>(memory) + page;
  tsan_ = tsan::make_fibre();
  prepare();
}

Fibre::~Fibre() {
  asan::unpoison(stack_, stack_bytes);
  tsan::destroy_fibre(tsan_);
  munmap(stack_ - page, page + stack_bytes);
}

bool Fibre::overflowed(const void* address) const { return address >= stack_ - page && address < stack_; }
Fibre* Fibre::running() { return scheduler.running; }

void Fibre::resume(bool ordered) {
  scheduler.running = this;
  scheduler.tsan = tsan::current_fibre();
  asan::leave_stack(&scheduler.fake_stack, stack_, stack_bytes);
  tsan::switch_to(tsan_, ordered);
#if defined(__x86_64__) && !defined(EMULATOR_UCONTEXT)
  switch_stack(&scheduler.stack_pointer, stack_pointer_);
#else
  swapcontext(&scheduler.context, &context_);
#endif
  asan::enter_stack(scheduler.fake_stack, nullptr, nullptr);
  scheduler.running = nullptr;
}

void Fibre::give_way() {
  Fibre* const self = scheduler.running;
  asan::leave_stack(&self->fake_stack_, scheduler.stack, scheduler.stack_bytes);
  tsan::switch_to(scheduler.tsan, false);
#if defined(__x86_64__) && !defined(EMULATOR_UCONTEXT)
  switch_stack(&self->stack_pointer_, scheduler.stack_pointer);
#else
  swapcontext(&self->context_, &scheduler.context);
#endif
  asan::enter_stack(self->fake_stack_, &scheduler.stack, &scheduler.stack_bytes);
}

void Fibre::begin() {
  asan::enter_stack(nullptr, &scheduler.stack, &scheduler.stack_bytes);
  scheduler.running->body_();
}

}  // namespace emulator
