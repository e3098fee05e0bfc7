// A stack of its own, on which code runs until it gives way to the scheduler. All fibres belong to one host thread at a time,
// and one runs at a time. A switch costs some 10 ns; a fibre holds 64 KB of addresses, a guard page below them, and as much
// memory as it ever used. The sanitizers are told of every switch.
#pragma once

#include "sanitizers.h"

#if !defined(__x86_64__) || defined(EMULATOR_UCONTEXT)
#include <ucontext.h>
#endif

#include <cstddef>

namespace emulator {

class Fibre {
 public:
  explicit Fibre(void (*body)());  // begins at the first resume, and must not return
  ~Fibre();                        // wherever the body may be; its locals are not destroyed
  Fibre(const Fibre&) = delete;
  Fibre& operator=(const Fibre&) = delete;

  // Called by the scheduler; returns when the fibre gives way. `ordered`: ThreadSanitizer counts all that the scheduler did
  // before as done before.
  void resume(bool ordered);
  static void give_way();   // called on a fibre
  static Fibre* running();  // null: the scheduler

  static constexpr std::size_t stack_bytes = (tsan::on ? 128 : 64) << 10;
  bool overflowed(const void* address) const;  // whether it is in the page below the stack

 private:
  static void begin();
  void prepare();

  void (*body_)();
  char* stack_;
  void* fake_stack_ = nullptr;  // AddressSanitizer's
  void* tsan_ = nullptr;
#if !defined(__x86_64__) || defined(EMULATOR_UCONTEXT)
  ucontext_t context_;
#else
  void* stack_pointer_ = nullptr;
#endif
};

}  // namespace emulator
