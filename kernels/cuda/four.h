// Four neighbouring elements: what one thread does where a Philox block gives four numbers, in accesses of 16 bytes
// where the operands allow it.
#pragma once

#include <mica/kernels/cuda/pack.h>

namespace mica::kernels {

template <class T>
struct Four {
  T at[4];
};

// x[i, i + 4). packed: 4 divides i, and x is aligned.
template <class T>
MICA_DEVICE Four<T> load_four(const T* x, unsigned i, unsigned n, bool packed) {
  Four<T> four{};
  if (packed && i + 4 <= n) {
    for (int k = 0; k < 4; k += Pack<T>::size) {
      const Pack<T> pack = load_pack(x + i + k);
      for (int j = 0; j < Pack<T>::size; ++j) four.at[k + j] = pack.at[j];
    }
  } else {
    for (int k = 0; k < 4; ++k)
      if (i + k < n) four.at[k] = x[i + k];
  }
  return four;
}

template <class T>
MICA_DEVICE void store_four(T* y, unsigned i, unsigned n, bool packed, const Four<T>& four) {
  if (packed && i + 4 <= n) {
    for (int k = 0; k < 4; k += Pack<T>::size) {
      Pack<T> pack;
      for (int j = 0; j < Pack<T>::size; ++j) pack.at[j] = four.at[k + j];
      store_pack(y + i + k, pack);
    }
  } else {
    for (int k = 0; k < 4; ++k)
      if (i + k < n) y[i + k] = four.at[k];
  }
}

}  // namespace mica::kernels
