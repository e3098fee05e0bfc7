// A Walk (kernels/walk.h) as a kernel argument: from an item's number to its place in each operand, by multiplications
// instead of divisions.
#pragma once

#include <mica/kernels/cuda/portable.h>
#include <mica/kernels/walk.h>

namespace mica::kernels {

// n / divisor for 0 ≤ n < 2³¹ and 1 ≤ divisor < 2³¹: with s = ⌈log₂ divisor⌉ and m = ⌊2³²·(2ˢ − divisor)/divisor⌋ + 1 it is
// (⌊m·n / 2³²⌋ + n) / 2ˢ. Source: Granlund and Montgomery, "Division by Invariant Integers using Multiplication", 1994, figure 4.1.
struct Divider {
  unsigned divisor = 1, multiplier = 1, shift = 0;

  Divider() = default;
  explicit Divider(i64 by) : divisor(static_cast<unsigned>(by)) {
    while ((std::uint64_t{1} << shift) < divisor) ++shift;
    multiplier = static_cast<unsigned>(((std::uint64_t{1} << 32) * ((std::uint64_t{1} << shift) - divisor)) / divisor + 1);
  }
  MICA_DEVICE unsigned divide(unsigned n) const {
    const auto high = static_cast<unsigned>((static_cast<std::uint64_t>(multiplier) * n) >> 32);
    return (high + n) >> shift;
  }
};

template <int K>
struct Strided {
  int rank;
  Divider sizes[max_rank];
  i64 strides[K][max_rank];

  explicit Strided(const Walk<K>& walk) : rank(walk.rank) {
    for (int dim = 0; dim < rank; ++dim) {
      sizes[dim] = Divider(walk.sizes[dim] > 0 ? walk.sizes[dim] : 1);
      for (int k = 0; k < K; ++k) strides[k][dim] = walk.strides[k][dim];
    }
  }

  struct Places {
    i64 at[K];
  };
  // Items are counted with the last dimension fastest.
  MICA_DEVICE Places places(unsigned item) const {
    Places places{};
    for (int dim = rank - 1; dim >= 0; --dim) {
      const unsigned rest = sizes[dim].divide(item), index = item - rest * sizes[dim].divisor;
      for (int k = 0; k < K; ++k) places.at[k] += index * strides[k][dim];
      item = rest;
    }
    return places;
  }
};

template <int K>
i64 items(const Walk<K>& walk) {
  return walk.rows() * walk.row_length();
}

}  // namespace mica::kernels
