// 16 bytes of elements, which a thread reads or writes by one instruction: what memory bandwidth needs.
#pragma once

#include <mica/kernels/cuda/portable.h>
#include <mica/kernels/dims.h>

#include <cstdint>

namespace mica::kernels {

template <class T>
struct alignas(16) Pack {
  static constexpr int size = 16 / sizeof(T);
  T at[size];
};

template <class T>
MICA_DEVICE Pack<T> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T>*>(from);
}
template <class T>
MICA_DEVICE void store_pack(T* to, const Pack<T>& pack) {
  *reinterpret_cast<Pack<T>*>(to) = pack;
}

// Views may begin anywhere: only where all pointers are aligned can packs be used.
template <class... P>
bool all_aligned(const P*... pointers) {
  return ((reinterpret_cast<std::uintptr_t>(pointers) % 16 == 0) && ...);
}

}  // namespace mica::kernels
