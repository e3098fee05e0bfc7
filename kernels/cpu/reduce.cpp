// Two orders of work, by which dimension is contiguous. Where x is contiguous along what is reduced, or along nothing,
// one output after the other runs over its row in `lanes` interleaved partial results. Where it is contiguous along the
// outputs, `tile` outputs are carried side by side over the whole reduced region.
#include <mica/kernels/cpu/walk.h>
#include <mica/kernels/reduce.h>

#include <algorithm>
#include <limits>

namespace mica::kernels {
namespace {

constexpr i64 lanes = 16, tile = 64;
constexpr i64 piece = 16384;  // elements that are worth a thread

// ---- partial results: `width` of them side by side, fed elements by add(lane, x, position) ----

template <class T>
struct Sum {
  static constexpr bool has_index = false;
  double value[tile];

  MICA_INLINE void start(i64 width) { std::fill(value, value + width, 0.0); }
  MICA_INLINE void add(i64 lane, T x, std::int32_t) { value[lane] += static_cast<double>(x); }
  MICA_INLINE void merge(i64 lane, const Sum& other, i64 from) { value[lane] += other.value[from]; }
};

// The best of a lane and where it was. Later ones win only if they are better, so that the first of equals stays.
template <class T, bool largest>
struct Best {
  static constexpr bool has_index = true;
  T value[tile];
  std::int32_t where[tile];

  MICA_INLINE void start(i64 width) {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    std::fill(value, value + width, largest ? -infinity : infinity);
    std::fill(where, where + width, std::numeric_limits<std::int32_t>::max());
  }
  MICA_INLINE static bool better(T a, T b) { return ((largest ? a > b : a < b) | (a != a)) & (b == b); }
  MICA_INLINE void add(i64 lane, T x, std::int32_t position) {
    const bool wins = better(x, value[lane]) | (where[lane] == std::numeric_limits<std::int32_t>::max());
    value[lane] = wins ? x : value[lane];
    where[lane] = wins ? position : where[lane];
  }
  MICA_INLINE void merge(i64 lane, const Best& other, i64 from) {
    const bool equal = other.value[from] == value[lane] || (other.value[from] != other.value[from] && value[lane] != value[lane]);
    const bool empty = where[lane] == std::numeric_limits<std::int32_t>::max();
    if (other.where[from] != std::numeric_limits<std::int32_t>::max() &&
        (empty || better(other.value[from], value[lane]) || (equal && other.where[from] < where[lane])))
      value[lane] = other.value[from], where[lane] = other.where[from];
  }
};

}  // namespace
}  // namespace mica::kernels

#define MICA_KERNELS <mica/kernels/cpu/reduce_loops.h>
#include <mica/kernels/cpu/each_instruction_set.h>

namespace mica::kernels {
namespace {

// ---- walking ----

i64 count_of(const Walk<1>& walk) { return walk.rows() * walk.row_length(); }
i64 offset_of(const Walk<1>& walk, i64 position) {
  return walk.row_offset(0, position / walk.row_length()) + position % walk.row_length() * walk.row_stride(0);
}

// f(x of a run, its length, position of its first) for positions [begin, end) of the region.
template <class T, class F>
void for_each_run(const Walk<1>& region, const T* x, i64 begin, i64 end, const F& f) {
  const i64 length = region.row_length();
  for (i64 at = begin; at < end;) {
    const i64 column = at % length, count = std::min(length - column, end - at);
    f(x + region.row_offset(0, at / length) + column * region.row_stride(0), count, at);
    at += count;
  }
}

// How outputs are dealt out: a job is one of them, or up to `tile` neighbours where x is contiguous along the outputs.
struct Jobs {
  Walk<1> outputs, inputs;
  bool columns;
  i64 length, width, a_row, count;  // of the reduced region; outputs of a job; jobs of a row of outputs; jobs

  Jobs(const Region& kept, const Region& reduced)
      : outputs(kept.rank, kept.sizes, {kept.strides}), inputs(reduced.rank, reduced.sizes, {reduced.strides}) {
    columns = outputs.row_stride(0) == 1 && outputs.row_length() > 1 && inputs.row_stride(0) != 1;
    length = count_of(inputs);
    width = columns ? std::min(tile, outputs.row_length()) : 1;
    a_row = (outputs.row_length() + width - 1) / width;
    count = outputs.rows() * a_row;
  }
  i64 first(i64 job) const { return job / a_row * outputs.row_length() + job % a_row * width; }  // its first output
  i64 wide(i64 job) const { return std::min(width, outputs.row_length() - job % a_row * width); }
};

// finish(output, R, lane) for every output. R's partial results of one output are merged in an order of the sizes alone.
template <class R, class T, class Finish>
void reduce(Cpu& cpu, const Region& kept, const Region& reduced, const T* x, const Finish& finish) {
  const Jobs jobs(kept, reduced);
  if (jobs.count == 0) return;
  // A job over a long region is cut into pieces, so that few outputs still use all threads.
  const i64 length = jobs.length, pieces = std::max<i64>(1, std::min(length * jobs.width / piece, (length + 7) / 8));
  R* partial = pieces > 1 ? cpu.scratch<R>(static_cast<std::size_t>(jobs.count * pieces)) : nullptr;
  const auto run = [&](i64 job, i64 p, R& r) {
    const i64 step = jobs.inputs.row_stride(0);
    r.start(jobs.columns ? jobs.width : lanes);
    for_each_run(jobs.inputs, x + offset_of(jobs.outputs, jobs.first(job)), length * p / pieces, length * (p + 1) / pieces, [&](const T* at, i64 n, i64 position) {
      const auto first = static_cast<std::int32_t>(position);
      if (jobs.columns) MICA_CALL_FOR(T, add_columns, r, jobs.wide(job), n, at, step, first);
      else MICA_CALL_FOR(T, add_row, r, n, at, step, first);
    });
    if (!jobs.columns)
      for (i64 lane = 1; lane < lanes; ++lane) r.merge(0, r, lane);
  };
  const auto end = [&](i64 job, const R& r) {
    for (i64 lane = 0; lane < jobs.wide(job); ++lane) finish(jobs.first(job) + lane, r, lane);
  };
  parallel_for(cpu, jobs.count * pieces, 1 + piece / (length * jobs.width / pieces + 1), [&](i64 begin, i64 stop) {
    for (i64 i = begin; i < stop; ++i) {
      if (pieces > 1) {
        run(i / pieces, i % pieces, partial[i]);
      } else {
        R r;
        run(i, 0, r);
        end(i, r);
      }
    }
  });
  for (i64 job = 0; pieces > 1 && job < jobs.count; ++job) {
    R& total = partial[job * pieces];
    for (i64 p = 1; p < pieces; ++p)
      for (i64 lane = 0; lane < jobs.width; ++lane) total.merge(lane, partial[job * pieces + p], lane);
    end(job, total);
  }
}

template <class R, class T>
void find(Cpu& cpu, const Region& kept, const Region& reduced, const T* x, T* y, i64* index) {
  reduce<R>(cpu, kept, reduced, x, [=](i64 output, const R& r, i64 lane) {
    y[output] = r.value[lane];
    if (index) index[output] = r.where[lane];
  });
}

}  // namespace

template <class T>
void sum(Cpu& cpu, const Region& kept, const Region& reduced, double scale, const T* x, T* y) {
  reduce<Sum<T>>(cpu, kept, reduced, x, [=](i64 output, const Sum<T>& r, i64 lane) { y[output] = static_cast<T>(scale * r.value[lane]); });
}

template <class T>
void extremum(Cpu& cpu, Extremum which, const Region& kept, const Region& reduced, const T* x, T* y, i64* index) {
  if (which == Extremum::max) find<Best<T, true>>(cpu, kept, reduced, x, y, index);
  else find<Best<T, false>>(cpu, kept, reduced, x, y, index);
}

template <class T>
void extremum_backward(Cpu& cpu, const Region& kept, const Region& reduced, bool nan_equal, const T* x, const T* y, const T* gy, T* gx) {
  const Jobs jobs(kept, reduced);
  parallel_for(cpu, jobs.count, 1 + piece / (jobs.length * jobs.width + 1), [&](i64 begin, i64 end) {
    for (i64 job = begin; job < end; ++job) {
      const i64 first = jobs.first(job), wide = jobs.wide(job), step = jobs.inputs.row_stride(0);
      const T* from = x + offset_of(jobs.outputs, first);
      i64 equals[tile] = {};
      T share[tile], none[tile];
      for_each_run(jobs.inputs, from, 0, jobs.length, [&](const T* at, i64 n, i64) {
        if (jobs.columns) MICA_CALL_FOR(T, count_columns, wide, n, at, step, y + first, nan_equal, equals);
        else MICA_CALL_FOR(T, count_row, n, at, step, y[first], nan_equal, equals);
      });
      for (i64 lane = 0; lane < wide; ++lane) {
        share[lane] = gy[first + lane] / static_cast<T>(equals[lane]);
        none[lane] = equals[lane] == 0 ? std::numeric_limits<T>::quiet_NaN() : T(0);
      }
      for_each_run(jobs.inputs, from, 0, jobs.length, [&](const T* at, i64 n, i64) {
        T* to = gx + (at - x);
        if (jobs.columns) MICA_CALL_FOR(T, share_columns, wide, n, at, step, y + first, nan_equal, share, none, to);
        else MICA_CALL_FOR(T, share_row, n, at, step, y[first], nan_equal, share[0], none[0], to);
      });
    }
  });
}

#define MICA_FLOATING(T)                                                                                       \
  template void sum(Cpu&, const Region&, const Region&, double, const T*, T*);                                 \
  template void extremum(Cpu&, Extremum, const Region&, const Region&, const T*, T*, i64*);                    \
  template void extremum_backward(Cpu&, const Region&, const Region&, bool, const T*, const T*, const T*, T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
