// The lines that softmax works on: a team of threads takes one, lanes or a block where it is contiguous (inner = 1), threads
// beside those of its neighbours otherwise. It is read once from memory and then, while it is short, from the cache.
#pragma once

#include <mica/kernels/cuda/team.h>
#include <mica/kernels/math.h>
#include <mica/kernels/softmax.h>

#include <limits>

namespace mica::kernels {

// As on the CPU: a NaN is passed over here, and then makes the sum NaN.
struct Larger {
  template <class T> MICA_DEVICE T operator()(T a, T b) const { return a > b ? a : b; }
};

// Where a team's line begins, and how much of it there is: nothing for a team beyond the last line.
struct Line {
  i64 begin;
  unsigned n;

  MICA_DEVICE Line(unsigned index, unsigned lines, unsigned length, unsigned inner)
      : begin(index < lines ? static_cast<i64>(index / inner) * length * inner + index % inner : 0), n(index < lines ? length : 0) {}
};

// Of the n elements of x, `inner` apart; all threads of the team get it.
template <class Team, class T>
MICA_DEVICE T largest_of(const Team& team, unsigned n, unsigned inner, const T* x) {
  const T lowest = -std::numeric_limits<T>::infinity();
  T largest = lowest;
  for (unsigned i = team.rank; i < n; i += team.size) largest = Larger{}(x[static_cast<i64>(i) * inner], largest);
  return team.reduce(largest, lowest, Larger{});
}

// Σ exp(x − largest).
template <class Team, class T>
MICA_DEVICE double exp_total(const Team& team, unsigned n, unsigned inner, const T* x, T largest) {
  double total = 0;
  for (unsigned i = team.rank; i < n; i += team.size)
    total += static_cast<double>(math::exp_nonpositive<true>(x[static_cast<i64>(i) * inner] - largest));
  return team.reduce(total, 0.0, Plus{});
}

// Launches Kernels (TeamShape::kernel) with lines, length, inner, the teams' width, and these arguments.
template <class Kernels, class... P>
void for_each_line(Cuda& cuda, const char* name, const SoftmaxDims& d, const P&... arguments) {
  const i64 lines = d.outer * d.inner;
  if (lines == 0) return;
  const TeamShape shape = d.inner == 1 ? teams_for_rows(lines, d.length) : teams_for_columns(lines, d.length);
  launch(cuda, name, shape.kernel<Kernels>(), shape.launch, static_cast<unsigned>(lines), static_cast<unsigned>(d.length),
         static_cast<unsigned>(d.inner), shape.width, arguments...);
}

}  // namespace mica::kernels
