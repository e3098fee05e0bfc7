// Gathering by index, and the check of indices and classes. Every element of a gather is a thread's own. scatter_add must
// add in the order of positions, and has two forms for that: with many lines along the indexed dimension a thread walks
// down each; with few, a thread owns one element of x and looks through the whole line for what belongs to it.
#include <mica/kernels/cuda/block_reduce.h>
#include <mica/kernels/cuda/launch.h>
#include <mica/kernels/cuda/strided.h>
#include <mica/kernels/gather.h>

namespace mica::kernels {
namespace {

// ---- watch_range ----

struct Range {
  i64 size;
  bool allows;
  i64 allowed;

  MICA_DEVICE bool holds(i64 value) const { return (value >= 0 && value < size) || (allows && value == allowed); }
};

struct Least {
  MICA_DEVICE unsigned operator()(unsigned a, unsigned b) const { return a < b ? a : b; }
};

constexpr int watch_threads = 1024;

// The block's first position out of range, or n.
MICA_DEVICE unsigned first_bad(unsigned n, const Range& range, const i64* values) {
  unsigned first = n;
  for (unsigned i = first_item(); i < n; i += item_step())
    if (!range.holds(values[i])) first = Least()(first, i);
  return block_reduce(first, n, Least());
}

// Of all faults since the host last looked the first is kept: launches come one after another.
MICA_DEVICE void keep(unsigned first, unsigned n, const i64* values, int site, RangeFault* fault) {
  if (threadIdx.x == 0 && first < n && fault->site == 0) *fault = {site, first, values[first]};
}

__global__ void __launch_bounds__(watch_threads) watch_block(unsigned n, Range range, const i64* values, int site, RangeFault* fault) {
  keep(first_bad(n, range, values), n, values, site, fault);
}

__global__ void __launch_bounds__(watch_threads) watch_blocks(unsigned n, Range range, const i64* values, unsigned* of_block) {
  const unsigned first = first_bad(n, range, values);
  if (threadIdx.x == 0) of_block[blockIdx.x] = first;
}

__global__ void __launch_bounds__(watch_threads) watch_combine(unsigned n, const unsigned* of_block, unsigned blocks, const i64* values, int site, RangeFault* fault) {
  unsigned first = n;
  for (unsigned b = threadIdx.x; b < blocks; b += blockDim.x) first = Least()(first, of_block[b]);
  keep(block_reduce(first, n, Least()), n, values, site, fault);
}

// ---- gather and scatter_add ----

// A position of the index: its line, which counts the dimensions that are not indexed, and its place k along the line.
struct Lines {
  Strided<2> walk;  // of x and of the index
  unsigned count;
  Divider length;
  i64 x_step, index_step, x_length;

  explicit Lines(const GatherDims& d) : Lines(d, Walk<2>(d.rank, d.sizes, {d.x_strides, d.index_strides})) {}
  Lines(const GatherDims& d, const Walk<2>& lines)
      : walk(lines), count(static_cast<unsigned>(items(lines))), length(d.length > 0 ? d.length : 1), x_step(d.x_step), index_step(d.index_step), x_length(d.x_length) {}

  MICA_DEVICE bool holds(i64 index) const { return index >= 0 && index < x_length; }
};

// Items go along the dimension that is contiguous in the index: the indexed one, or the last of the others.
template <class T>
__global__ void gather_kernel(unsigned n, Lines lines, Divider count, const T* x, const i64* index, T* y) {
  const bool along_lines = lines.index_step == 1;
  for (unsigned i = first_item(); i < n; i += item_step()) {
    const Divider& inner = along_lines ? lines.length : count;
    const unsigned outer = inner.divide(i), rest = i - outer * inner.divisor;
    const unsigned line = along_lines ? outer : rest, k = along_lines ? rest : outer;
    const auto places = lines.walk.places(line);
    const i64 at = places.at[1] + k * lines.index_step, from = index[at];
    y[at] = lines.holds(from) ? x[places.at[0] + from * lines.x_step] : T(0);
  }
}

template <class T>
__global__ void scatter_add_lines(Lines lines, const i64* index, const T* y, T* x) {
  for (unsigned line = first_item(); line < lines.count; line += item_step()) {
    const auto places = lines.walk.places(line);
    for (unsigned k = 0; k < lines.length.divisor; ++k) {
      const i64 at = places.at[1] + k * lines.index_step, to = index[at];
      if (lines.holds(to)) x[places.at[0] + to * lines.x_step] += y[at];
    }
  }
}

constexpr int chunk = threads_per_block;  // positions that a block holds at a time, one for each thread to fetch

// A block owns chunk elements of a line of x, a thread one of them.
template <class T>
__global__ void scatter_add_elements(Lines lines, const i64* index, const T* y, T* x) {
  MICA_SHARED(i64, to, [chunk]);
  MICA_SHARED(T, held, [chunk]);
  const unsigned own = blockIdx.x * chunk + threadIdx.x, length = lines.length.divisor;
  const auto places = lines.walk.places(blockIdx.y);
  const bool owns = own < lines.x_length;
  T* mine = x + places.at[0] + own * lines.x_step;
  T sum = owns ? *mine : T(0);
  for (unsigned first = 0; first < length; first += chunk) {
    const unsigned k = first + threadIdx.x;
    const i64 at = places.at[1] + k * lines.index_step;
    __syncthreads();  // the chunk before has been read
    to[threadIdx.x] = k < length ? index[at] : -1;
    held[threadIdx.x] = k < length ? y[at] : T(0);
    __syncthreads();
    for (int j = 0; j < chunk; ++j)
      if (to[j] == own) sum += held[j];
  }
  if (owns) *mine = sum;
}

}  // namespace

void watch_range(Cuda& cuda, i64 given, i64 size, std::optional<i64> allowed, const i64* values, int site) {
  if (given == 0) return;
  const Range range{size, allowed.has_value(), allowed.value_or(0)};
  const auto n = static_cast<unsigned>(given);
  const dim3 threads(static_cast<unsigned>(std::min<i64>(watch_threads, ceil_div(n, warp_size) * warp_size)));
  if (n <= 16 * watch_threads) return launch(cuda, "watch_range", watch_block, {dim3(1), threads}, n, range, values, site, cuda.range_fault());
  const LaunchShape shape{dim3(static_cast<unsigned>(std::min<i64>(ceil_div(n, 4 * watch_threads), 2 * i64{cuda.multiprocessors()}))), threads};
  const auto of_block = cuda.scratch<unsigned>(shape.grid.x);
  launch(cuda, "watch_range", watch_blocks, shape, n, range, values, of_block.get());
  launch(cuda, "watch_range", watch_combine, {dim3(1), threads}, n, of_block.get(), shape.grid.x, values, site, cuda.range_fault());
}

template <class T>
void gather(Cuda& cuda, const GatherDims& d, const T* x, const i64* index, T* y) {
  const Lines lines(d);
  const i64 n = lines.count * d.length;
  if (n > 0)
    launch(cuda, "gather", gather_kernel<T>, grid_for(cuda, n), static_cast<unsigned>(n), lines, Divider(lines.count), x, index, y);
}

// The first form takes d.length additions in memory, one after another; the second compares every position of a line with
// every element of it, in parallel: better while that is no more than `at_once` comparisons an addition, which is an
// estimate (half a microsecond an addition, 2·10¹² comparisons a second).
template <class T>
void scatter_add(Cuda& cuda, const GatherDims& d, const i64* index, const T* y, T* x) {
  const Lines lines(d);
  if (lines.count == 0 || d.length == 0 || d.x_length == 0) return;
  constexpr i64 at_once = 1 << 20;
  const i64 owners = ceil_div(d.x_length, chunk) * chunk, compared = ceil_div(d.length, chunk) * chunk;
  if (lines.count * owners > at_once * d.length / compared)
    return launch(cuda, "scatter_add", scatter_add_lines<T>, grid_for(cuda, lines.count), lines, index, y, x);
  const dim3 grid(static_cast<unsigned>(owners / chunk), lines.count);  // no more than at_once / chunk lines
  launch(cuda, "scatter_add", scatter_add_elements<T>, {grid, dim3(chunk)}, lines, index, y, x);
}

#define MICA_ELEMENT_TYPE(T) template void gather(Cuda&, const GatherDims&, const T*, const i64*, T*);
MICA_ELEMENT_TYPE(float)
MICA_ELEMENT_TYPE(double)
MICA_ELEMENT_TYPE(std::int64_t)
MICA_ELEMENT_TYPE(std::int32_t)
MICA_ELEMENT_TYPE(std::uint8_t)
template void scatter_add(Cuda&, const GatherDims&, const i64*, const float*, float*);
template void scatter_add(Cuda&, const GatherDims&, const i64*, const double*, double*);

}  // namespace mica::kernels
