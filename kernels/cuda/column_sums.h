// Two sums down the rows of rows×channels, for every channel, in two stages: a block sums a run of rows, and a second
// kernel, the caller's, combines the blocks' sums. What a block does depends on the sizes alone, so that the bits do.
// A block's threads lie along channels first, a pack each where channels allow it, then along rows: it reads memory in runs.
#pragma once

#include <mica/kernels/cuda/launch.h>
#include <mica/kernels/cuda/pack.h>

#include <algorithm>

namespace mica::kernels {

struct Columns {
  unsigned rows, channels;
  unsigned across, lanes;       // threads of a block along channels and along rows; across·lanes ≤ threads_per_block
  unsigned tiles;               // of across packs of channels
  unsigned blocks, block_rows;  // along rows

  // width: channels of a thread
  Columns(i64 given_rows, i64 given_channels, int width) : rows(static_cast<unsigned>(given_rows)), channels(static_cast<unsigned>(given_channels)) {
    const i64 packs = given_channels / width, wide = ceil_div(packs, 32);
    across = static_cast<unsigned>(ceil_div(packs, wide));
    lanes = threads_per_block / across;
    tiles = static_cast<unsigned>(wide);
    const i64 most = std::max<i64>(512 / wide, 16), least_rows = 8 * i64{lanes};  // of a block, so that it has work to hide latency by
    block_rows = static_cast<unsigned>(std::max(least_rows, ceil_div(ceil_div(given_rows, most), lanes) * lanes));
    blocks = static_cast<unsigned>(ceil_div(given_rows, block_rows));
  }
  // Blocks are counted along a grid's x, since its y does not reach as many tiles as there may be; those of a tile follow each other.
  MICA_DEVICE unsigned tile() const { return blockIdx.x / blocks; }
  MICA_DEVICE unsigned block() const { return blockIdx.x - tile() * blocks; }
  MICA_DEVICE unsigned first_row(unsigned block) const { return block * block_rows; }
  MICA_DEVICE unsigned rows_of(unsigned block) const { return min(block_rows, rows - first_row(block)); }
};

template <class T, int width>
struct Elements {
  T at[width];
};

template <int width, class T>
MICA_DEVICE Elements<T, width> load(const T* from) {
  Elements<T, width> elements;
  if constexpr (width == 1) {
    elements.at[0] = *from;
  } else {
    const Pack<T> pack = load_pack(from);
    for (int i = 0; i < width; ++i) elements.at[i] = pack.at[i];
  }
  return elements;
}

template <int width, class T>
MICA_DEVICE void store(T* to, const Elements<T, width>& elements) {
  if constexpr (width == 1) {
    *to = elements.at[0];
  } else {
    Pack<T> pack;
    for (int i = 0; i < width; ++i) pack.at[i] = elements.at[i];
    store_pack(to, pack);
  }
}

// What is summed. Terms: T's `width` channels of a thread, with
//   begin(first row's first element of these channels, channel)   once, before all else
//   add(element, a, b)        adds the terms of the elements [element, element + width) to a[width] and b[width]
//   finish(rows, i, a, b)     may change channel i's sums of the block
// sums: channels×2×blocks. Sums of up to `chain` rows are made in T, longer ones in f64.
template <class T, int width, class Terms>
__global__ void column_sums_kernel(Columns columns, Terms terms, double* sums) {
  MICA_SHARED(double, held, [2][threads_per_block * width]);  // [lane][thread across][channel of the thread]
  constexpr unsigned chain = 16;
  const unsigned lane = threadIdx.x / columns.across, channel = (columns.tile() * columns.across + threadIdx.x % columns.across) * width;
  const unsigned block = columns.block(), first = columns.first_row(block), last = first + columns.rows_of(block);
  const bool works = lane < columns.lanes && channel < columns.channels;
  if (works) {
    double a[width] = {}, b[width] = {};
    terms.begin(first * columns.channels + channel, channel);
    for (unsigned row = first + lane; row < last;) {
      const unsigned end = min(row + chain * columns.lanes, last);
      T chain_a[width] = {}, chain_b[width] = {};
#pragma unroll 4
      for (; row < end; row += columns.lanes) terms.add(row * columns.channels + channel, chain_a, chain_b);
      for (int i = 0; i < width; ++i) a[i] += static_cast<double>(chain_a[i]), b[i] += static_cast<double>(chain_b[i]);
    }
    for (int i = 0; i < width; ++i) held[0][threadIdx.x * width + i] = a[i], held[1][threadIdx.x * width + i] = b[i];
  }
  for (unsigned live = columns.lanes; live > 1;) {  // lanes whose sums are still to be added up
    const unsigned half = (live + 1) / 2, other = half * columns.across * width;
    __syncthreads();
    if (works && lane + half < live)
      for (unsigned at = threadIdx.x * width; at < (threadIdx.x + 1) * width; ++at) held[0][at] += held[0][at + other], held[1][at] += held[1][at + other];
    live = half;
  }
  if (!works || lane > 0) return;
  for (int i = 0; i < width; ++i) {
    double a = held[0][threadIdx.x * width + i], b = held[1][threadIdx.x * width + i];
    terms.finish(last - first, i, a, b);
    double* of_channel = sums + static_cast<i64>(channel + i) * 2 * columns.blocks + block;
    of_channel[0] = a, of_channel[columns.blocks] = b;
  }
}

template <class T, int width, class Terms>
void column_sums(Cuda& cuda, const char* name, const Columns& columns, const Terms& terms, double* sums) {
  launch(cuda, name, column_sums_kernel<T, width, Terms>, {dim3(columns.tiles * columns.blocks), dim3(threads_per_block)}, columns, terms, sums);
}

}  // namespace mica::kernels
