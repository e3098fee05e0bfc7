// Reductions of any kind over any dimensions. A reduction R is a value that says what is gathered:
//   using Value             what a thread carries; trivial, of whole 4-byte words
//   least                   elements that are worth a block
//   start()                 of nothing
//   add(value, x, i, k)     with element x, the i-th of the region of output k, or with another Value
//   operator()(a, b)        of both; symmetric, to the bit
//   finish(k, value)        puts output k where it belongs
// A team of threads makes each output. Where that leaves the device idle, each is cut into pieces of fixed lengths, whose Values
// are reduced in turn. Teams and pieces are chosen by the sizes alone, so the order of all sums is too.
#pragma once

#include <mica/kernels/cuda/pack.h>
#include <mica/kernels/cuda/strided.h>
#include <mica/kernels/cuda/team.h>
#include <mica/kernels/reduce.h>

#include <algorithm>
#include <array>

namespace mica::kernels {

// The positions of outputs and of what each gathers. `kept` walks operand 0, the input, in its memory order, and operand 1, the
// outputs, numbered as the region is.
struct Reduced {
  Walk<2> kept;
  Walk<1> region;
};

// `kept` with x's strides and those of its positions' numbers, and `also` with 0 for these; by falling strides of x.
inline Walk<2> in_memory_order_of_x(const Region& kept, const Region& also = {}) {
  struct Dimension {
    i64 size, stride, number;
  };
  std::array<Dimension, max_rank> dims{};
  int rank = 0;
  i64 number = 1;
  const auto insert = [&](const Dimension& d) {
    int at = rank++;
    for (; at > 0 && dims[at - 1].stride < d.stride; --at) dims[at] = dims[at - 1];
    dims[at] = d;
  };
  for (int dim = kept.rank - 1; dim >= 0; number *= kept.sizes[dim--]) insert({kept.sizes[dim], kept.strides[dim], number});
  for (int dim = also.rank - 1; dim >= 0; --dim) insert({also.sizes[dim], also.strides[dim], 0});
  Sizes sizes{}, strides{}, numbers{};
  for (int dim = 0; dim < rank; ++dim) sizes[dim] = dims[dim].size, strides[dim] = dims[dim].stride, numbers[dim] = dims[dim].number;
  return Walk<2>(rank, sizes, {strides, numbers});
}

// use(load(i), i) for i = first, first + step, …, with four loads under way at once.
template <class Load, class Use>
MICA_DEVICE void stream(unsigned i, unsigned end, unsigned step, const Load& load, const Use& use) {
  for (; i + 3 * step < end; i += 4 * step) {
    const auto a = load(i), b = load(i + step), c = load(i + 2 * step), d = load(i + 3 * step);
    use(a, i), use(b, i + step), use(c, i + 2 * step), use(d, i + 3 * step);
  }
  for (; i < end; i += step) use(load(i), i);
}

// Elements [begin, end) of output k, those of a team's thread. `packed`: they are contiguous, and are taken in packs; where
// these are not aligned element by element, in the same order.
template <class Team, class R, class X>
MICA_DEVICE typename R::Value gather_part(const Team& team, const R& r, const X* x, const Strided<1>& region, bool packed, unsigned begin,
                                          unsigned end, unsigned k) {
  auto value = r.start();
  const auto use = [&](X v, unsigned i) { value = r.add(value, v, i, k); };
  if (packed) {
    constexpr unsigned size = Pack<X>::size;
    const unsigned packs = (end - begin) / size;
    const X* from = x + begin;
    if (reinterpret_cast<std::uintptr_t>(from) % 16 == 0)
      stream(team.rank, packs, team.size, [&](unsigned p) { return load_pack(from + p * size); },
             [&](const Pack<X>& pack, unsigned p) { for (unsigned j = 0; j < size; ++j) use(pack.at[j], begin + p * size + j); });
    else
      for (unsigned p = team.rank; p < packs; p += team.size)
        for (unsigned j = 0; j < size; ++j) use(from[p * size + j], begin + p * size + j);
    begin += packs * size;
  }
  const i64 step = region.strides[0][0];
  if (region.rank == 1) stream(begin + team.rank, end, team.size, [&](unsigned i) { return x[i * step]; }, use);
  else stream(begin + team.rank, end, team.size, [&](unsigned i) { return x[region.places(i).at[0]]; }, use);
  return value;
}

// Team t makes piece blockIdx.y of the t-th output in x's order, for `partial`, outputs×pieces, or to finish where that is null.
template <class Team, class R, class X>
__global__ void reduce_kernel(unsigned outputs, unsigned length, unsigned piece, unsigned width, bool packed, Strided<2> kept,
                              Strided<1> region, R r, const X* x, typename R::Value* partial) {
  const Team team(width);
  const bool present = team.index < outputs;
  const auto places = kept.places(present ? team.index : 0);
  const auto k = static_cast<unsigned>(places.at[1]);
  const unsigned begin = blockIdx.y * piece, end = length - begin < piece ? length : begin + piece;
  auto value = r.start();
  if (present) value = gather_part(team, r, x + places.at[0], region, packed, begin, end, k);
  value = team.reduce(value, r.start(), r);
  if (!present || team.rank != 0) return;
  if (partial) partial[k * gridDim.y + blockIdx.y] = value;
  else r.finish(k, value);
}

template <class R, class X>
struct ReduceKernel {
  template <class Team> static constexpr auto kernel = reduce_kernel<Team, R, X>;
};

// Into how many pieces each output is cut, so that about 1024 blocks have work, and how long they are, a multiple of 1024 but
// for the last.
struct Pieces {
  i64 count = 1, length;

  Pieces(const TeamShape& shape, i64 length, i64 least) : length(std::max<i64>(length, 1)) {
    if (shape.kind == TeamKind::lanes) return;
    const i64 blocks = shape.launch.grid.x, columns = shape.kind == TeamKind::column ? shape.width : 1;
    const i64 wanted = std::min(1024 / blocks, length * columns / least);
    if (wanted < 2) return;
    const i64 unit = std::max<i64>(1, 1024 / columns);
    this->length = ceil_div(ceil_div(length, wanted), unit) * unit;
    count = ceil_div(length, this->length);
  }
};

template <class R, class X>
void reduce(Cuda& cuda, const char* name, const Reduced& dims, const R& r, const X* x) {
  const i64 outputs = items(dims.kept), length = items(dims.region);
  if (outputs == 0) return;
  const bool columns = dims.kept.row_stride(0) == 1 && dims.kept.row_length() > 1;
  TeamShape shape = columns ? teams_for_columns(outputs, length) : teams_for_rows(outputs, length);
  const Pieces pieces(shape, length, R::least);
  const bool packed = dims.region.rank == 1 && dims.region.row_stride(0) == 1 && length >= 512;
  shape.launch.block = dim3(threads_per_block);
  shape.launch.grid.y = static_cast<unsigned>(pieces.count);
  const auto stage = [&](typename R::Value* partial) {
    launch(cuda, name, shape.kernel<ReduceKernel<R, X>>(), shape.launch, static_cast<unsigned>(outputs), static_cast<unsigned>(length),
           static_cast<unsigned>(pieces.length), shape.width, packed, Strided<2>(dims.kept), Strided<1>(dims.region), r, x, partial);
  };
  if (pieces.count == 1) return stage(nullptr);
  const auto partial = cuda.scratch<typename R::Value>(outputs * pieces.count);
  stage(partial.get());
  const Reduced rest{Walk<2>(1, {outputs}, {Sizes{pieces.count}, Sizes{1}}), Walk<1>(1, {pieces.count}, {Sizes{1}})};
  reduce<R, typename R::Value>(cuda, name, rest, r, partial.get());
}

template <class R, class X>
void reduce(Cuda& cuda, const char* name, const Region& kept, const Region& reduced, const R& r, const X* x) {
  reduce(cuda, name, Reduced{in_memory_order_of_x(kept), Walk<1>(reduced.rank, reduced.sizes, {reduced.strides})}, r, x);
}

}  // namespace mica::kernels
