// Combining one value of each thread into one for the whole warp or block, in an order that never changes.
#pragma once

#include <mica/kernels/cuda/portable.h>

#include <cstring>

namespace mica::kernels {

inline constexpr int warp_size = 32;

// The value of the thread whose lane differs by `mask`. T: any type of whole 4-byte words.
template <class T>
MICA_DEVICE T shuffle_xor(T value, int mask) {
  static_assert(sizeof(T) % 4 == 0);
  unsigned words[sizeof(T) / 4];
  memcpy(words, &value, sizeof(T));
  for (unsigned& word : words) word = __shfl_xor_sync(0xffffffffu, word, mask);
  memcpy(&value, words, sizeof(T));
  return value;
}

// combine(a, b) must not care about the order of its arguments, to the bit; sums and maxima do not.
template <class T, class Combine>
MICA_DEVICE T warp_reduce(T value, const Combine& combine) {
  for (int mask = warp_size / 2; mask > 0; mask /= 2) value = combine(value, shuffle_xor(value, mask));
  return value;
}

// Every thread of the block gets the result. Blocks are one-dimensional, of a multiple of 32 threads up to 1024, and all take
// part. `identity` combined with x is x.
template <class T, class Combine>
MICA_DEVICE T block_reduce(T value, T identity, const Combine& combine) {
  MICA_SHARED(T, of_warp, [warp_size]);
  const unsigned lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size, warps = blockDim.x / warp_size;
  value = warp_reduce(value, combine);
  __syncthreads();  // of_warp may still be read by an earlier call
  if (lane == 0) of_warp[warp] = value;
  __syncthreads();
  return warp_reduce(lane < warps ? of_warp[lane] : identity, combine);
}

struct Plus {
  template <class T> MICA_DEVICE T operator()(T a, T b) const { return a + b; }
};

}  // namespace mica::kernels
