// What the emulator tells the sanitizers; nothing in a build without them. AddressSanitizer learns the exact bounds of memory
// and which stack is in use. ThreadSanitizer sees every CUDA thread as a thread of its own, ordered by barriers only.
// The emulator's own files are hidden from ThreadSanitizer (cmake/cuda.cmake): they are the hardware.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__) || defined(EMULATOR_HIDDEN_FROM_ASAN)
#define EMULATOR_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define EMULATOR_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__) || defined(EMULATOR_HIDDEN_FROM_TSAN)
#include <sanitizer/tsan_interface.h>
#define EMULATOR_TSAN 1
#else
#define EMULATOR_TSAN 0
#endif

namespace emulator {

namespace asan {
inline constexpr bool on = EMULATOR_ASAN;
#if EMULATOR_ASAN
inline void poison(const void* p, std::size_t n) { __asan_poison_memory_region(p, n); }
inline void unpoison(const void* p, std::size_t n) { __asan_unpoison_memory_region(p, n); }
inline void leave_stack(void** fake, const void* to, std::size_t size) { __sanitizer_start_switch_fiber(fake, to, size); }
inline void enter_stack(void* fake, const void** from, std::size_t* size) { __sanitizer_finish_switch_fiber(fake, from, size); }
#else
inline void poison(const void*, std::size_t) {}
inline void unpoison(const void*, std::size_t) {}
inline void leave_stack(void**, const void*, std::size_t) {}
inline void enter_stack(void*, const void**, std::size_t*) {}
#endif
}  // namespace asan

namespace tsan {
inline constexpr bool on = EMULATOR_TSAN;
#if EMULATOR_TSAN
inline void* current_fibre() { return __tsan_get_current_fiber(); }
inline void* make_fibre() { return __tsan_create_fiber(0); }
inline void destroy_fibre(void* fibre) { __tsan_destroy_fiber(fibre); }
// With `ordered`, what was done before the switch happened before what follows it.
inline void switch_to(void* fibre, bool ordered) { __tsan_switch_to_fiber(fibre, ordered ? 0 : __tsan_switch_to_fiber_no_sync); }
inline void release(void* tag) { __tsan_release(tag); }
inline void acquire(void* tag) { __tsan_acquire(tag); }
#else
inline void* current_fibre() { return nullptr; }
inline void* make_fibre() { return nullptr; }
inline void destroy_fibre(void*) {}
inline void switch_to(void*, bool) {}
inline void release(void*) {}
inline void acquire(void*) {}
#endif
}  // namespace tsan

}  // namespace emulator
