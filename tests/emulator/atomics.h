// Atomics: the one place where a thread may lose its turn without a barrier. They order nothing but themselves; a fence does.
#pragma once

#include "memory.h"
#include "multiprocessor.h"

#include <cstring>
#include <type_traits>

namespace emulator {

template <class T, class Update>
T update_atomically(T* p, const Update& update) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  static_assert(sizeof(T) == sizeof(Bits));
  multiprocessor().before_atomic();
  auto* const at = reinterpret_cast<Bits*>(p);
  Bits before = __atomic_load_n(at, __ATOMIC_RELAXED), after;
  T value;
  do {
    std::memcpy(&value, &before, sizeof value);
    const T updated = update(value);
    std::memcpy(&after, &updated, sizeof after);
  } while (!__atomic_compare_exchange_n(at, &before, after, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return value;
}

}  // namespace emulator

template <class T>
T atomicAdd(T* p, std::type_identity_t<T> value) {
  return emulator::update_atomically(p, [&](T old) { return static_cast<T>(old + value); });
}
template <class T>
T atomicMax(T* p, std::type_identity_t<T> value) {
  return emulator::update_atomically(p, [&](T old) { return old < value ? value : old; });
}
template <class T>
T atomicMin(T* p, std::type_identity_t<T> value) {
  return emulator::update_atomically(p, [&](T old) { return value < old ? value : old; });
}
template <class T>
T atomicOr(T* p, std::type_identity_t<T> value) {
  return emulator::update_atomically(p, [&](T old) { return old | value; });
}
// Who comes first is the device's choice, and may show in memory near p.
template <class T>
T atomicExch(T* p, std::type_identity_t<T> value) {
  emulator::allow_any_order(p);
  return emulator::update_atomically(p, [&](T) { return value; });
}
template <class T>
T atomicCAS(T* p, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  emulator::allow_any_order(p);
  return emulator::update_atomically(p, [&](T old) { return old == expected ? value : old; });
}

inline void __threadfence() {
  static char tag;  // all fences are ordered with one another, which is more than they promise
  emulator::tsan::acquire(&tag);
  emulator::tsan::release(&tag);
}
inline void __threadfence_block() { __threadfence(); }
