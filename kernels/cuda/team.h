// Teams of threads, each of which works on one row, column or line: a few lanes of a warp, a block, or every width-th thread
// of a block. A kernel that is a template over its team is written once for short and long rows, and for columns. A team has
// a number in the grid, and its threads have ranks. All threads of a block must reach reduce(), also those of teams beyond
// the last row, which have nothing to add. Such a kernel has __launch_bounds__(Team::most_threads, 1), the most threads of a
// block (reduction.h's blocks always have threads_per_block); the 1 leaves ptxas 64 registers a thread at least, where it would else try to make do with 32 and spill.
#pragma once

#include <mica/kernels/cuda/block_reduce.h>
#include <mica/kernels/cuda/launch.h>

#include <bit>

namespace mica::kernels {

// `lanes` neighbours of a warp, a power of two: for rows of up to some hundred elements.
struct LaneTeam {
  static constexpr int most_threads = threads_per_block;  // of a block
  unsigned size, rank, index;

  explicit MICA_DEVICE LaneTeam(unsigned lanes)
      : size(lanes), rank(threadIdx.x % lanes), index(blockIdx.x * (blockDim.x / lanes) + threadIdx.x / lanes) {}
  template <class V, class Combine>
  MICA_DEVICE V reduce(V value, V, const Combine& combine) const {
    for (int mask = static_cast<int>(size / 2); mask > 0; mask /= 2) value = combine(value, shuffle_xor(value, mask));
    return value;
  }
};

struct BlockTeam {
  static constexpr int most_threads = 1024;
  unsigned size, rank, index;

  explicit MICA_DEVICE BlockTeam(unsigned) : size(blockDim.x), rank(threadIdx.x), index(blockIdx.x) {}
  template <class V, class Combine>
  MICA_DEVICE V reduce(V value, V identity, const Combine& combine) const {
    return block_reduce(value, identity, combine);
  }
};

// Threads that differ by multiples of `width`, a power of two: neighbouring teams read neighbouring columns.
struct ColumnTeam {
  static constexpr int most_threads = threads_per_block;
  unsigned size, rank, index;
  unsigned width;

  explicit MICA_DEVICE ColumnTeam(unsigned width)
      : size(blockDim.x / width), rank(threadIdx.x / width), index(blockIdx.x * width + threadIdx.x % width), width(width) {}
  template <class V, class Combine>
  MICA_DEVICE V reduce(V value, V, const Combine& combine) const {
    if (size == 1) return value;
    MICA_SHARED(V, held, [threads_per_block]);
    __syncthreads();  // held may still be read by an earlier call
    held[threadIdx.x] = value;
    for (unsigned half = blockDim.x / 2; half >= width; half /= 2) {
      __syncthreads();
      if (threadIdx.x < half) held[threadIdx.x] = combine(held[threadIdx.x], held[threadIdx.x + half]);
    }
    __syncthreads();
    return held[threadIdx.x % width];
  }
};

enum class TeamKind { lanes, block, column };

// One team for each of `teams` > 0 rows; `width` is what the team's constructor takes. Depends on the sizes alone, since it
// decides the order of sums.
struct TeamShape {
  TeamKind kind;
  unsigned width;
  LaunchShape launch;

  // F: a struct with `template <class Team> static constexpr auto kernel`, one kernel for each team.
  template <class F>
  auto kernel() const {
    return kind == TeamKind::lanes ? F::template kernel<LaneTeam> : kind == TeamKind::block ? F::template kernel<BlockTeam> : F::template kernel<ColumnTeam>;
  }
};

inline unsigned power_of_two_from(i64 n) { return static_cast<unsigned>(std::bit_ceil(static_cast<std::uint64_t>(std::max<i64>(n, 1)))); }

// For rows that are contiguous, or that have no neighbours to be read with.
inline TeamShape teams_for_rows(i64 teams, i64 length) {
  if (length > 1024 || (length > 256 && teams < 1024)) {
    const unsigned threads = length >= 16384 ? BlockTeam::most_threads : threads_per_block;
    return {TeamKind::block, 0, {dim3(static_cast<unsigned>(teams)), dim3(threads)}};
  }
  const unsigned lanes = std::min<unsigned>(power_of_two_from(ceil_div(length, 4)), warp_size);
  return {TeamKind::lanes, lanes, {dim3(static_cast<unsigned>(ceil_div(teams, threads_per_block / lanes))), dim3(threads_per_block)}};
}

// For columns: the next one is the next element in memory.
inline TeamShape teams_for_columns(i64 teams, i64 length) {
  const unsigned wanted = std::min<unsigned>(power_of_two_from(ceil_div(length, 8)), 8);
  const unsigned width = std::min<unsigned>(power_of_two_from(std::min<i64>(teams, threads_per_block)), threads_per_block / wanted);
  return {TeamKind::column, width, {dim3(static_cast<unsigned>(ceil_div(teams, width))), dim3(threads_per_block)}};
}

}  // namespace mica::kernels
