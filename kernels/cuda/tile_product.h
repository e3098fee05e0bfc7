// The matrix product behind matmul and the general convolution: c[m×n] = a[m×k] · b[k×n] + bias[n], a number of times. An
// operand is an object that finds its elements, so that a convolution is a product whose operands gather from images.
//
// A block computes a tile of c. Step by step along k, it copies panels of a and b to shared memory, both with the tile's
// dimension contiguous, and each thread multiplies its rows and columns of them in registers. While it does so, the next
// panels are on their way to registers, and they go to the other of two buffers: one barrier a step.
//
// Where c has few tiles and k is long, k is cut into chunks of a length that depends on the sizes alone; each chunk is a
// block's, and a second pass adds them in order (partial_sums.h).
#pragma once

#include <mica/kernels/cuda/pack.h>
#include <mica/kernels/cuda/partial_sums.h>
#include <mica/kernels/math.h>

namespace mica::kernels {

// An operand is a struct of this form; x counts rows of a or columns of b, p the dimension summed over.
//   Element                  float or double
//   gathers                  finding an element takes registers that the largest tile does not leave
//   deep                     neighbours in memory differ in p; otherwise in x
//   size                     how many x
//   packed                   whether pack may be called: neighbours then come in whole packs, aligned
//   of(product)              the operand of one of the products
//   Place place(x)           what finding elements of x takes; each thread keeps it for all its steps
//   element(place, p)        one element
//   pack(place, p)           that element and its next neighbours, 16 bytes at once
template <class T, bool is_deep>
struct Matrix {
  using Element = T;
  struct Place {
    unsigned at;
  };
  static constexpr bool deep = is_deep, gathers = false;
  const T* data;
  unsigned size, step;  // step: between neighbours that are not contiguous
  i64 product_step;
  bool packed;

  MICA_DEVICE Matrix of(unsigned product) const {
    Matrix one = *this;
    one.data += product * product_step;
    return one;
  }
  MICA_DEVICE Place place(unsigned x) const { return {deep ? x * step : x}; }
  MICA_DEVICE const T* find(const Place& place, unsigned p) const { return data + (place.at + (deep ? p : p * step)); }
  MICA_DEVICE T element(const Place& place, unsigned p) const { return *find(place, p); }
  MICA_DEVICE Pack<T> pack(const Place& place, unsigned p) const { return load_pack(find(place, p)); }
};

template <bool deep, class T>
Matrix<T, deep> matrix(const T* data, i64 size, i64 step, i64 product_step) {
  constexpr int many = Pack<T>::size;
  const bool packed = all_aligned(data) && step % many == 0 && product_step % many == 0;
  return {data, static_cast<unsigned>(size), static_cast<unsigned>(step), product_step, packed};
}

// m×n of c by a block, each_m×each_n by a thread, `depth` of k a step.
template <int tile_m, int tile_n, int tile_depth, int thread_m, int thread_n>
struct Tile {
  static constexpr int m = tile_m, n = tile_n, depth = tile_depth, each_m = thread_m, each_n = thread_n;
  static constexpr int threads_n = n / each_n, threads = m / each_m * threads_n;
  static constexpr int blocks = 65536 / 128 / threads;  // a multiprocessor has 65536 registers: at most 128 a thread
};

struct ProductSizes {
  unsigned m, n, k, products;
  unsigned tiles_m = 1, tiles_n = 1, chunks = 1, chunk = 0;  // chunk: of k, a multiple of the tile's depth
};

// c's element (product, row, column) is at product·product_step + row·row_step + column; chunk_step is that of partial sums.
template <class T>
struct ProductOutput {
  T* data;
  i64 row_step, product_step, chunk_step = 0;
  bool packed = false;  // rows begin aligned and are whole packs
  const T* bias = nullptr;
  unsigned bias_step = 0;  // from one product's bias to the next one's
};

// What one thread copies of an operand's panel, width×depth.
template <class Operand, int width, int depth, int threads>
struct Panel {
  using T = typename Operand::Element;
  static constexpr int many = Pack<T>::size, packs = width * depth / many, rounds = (packs + threads - 1) / threads;
  static constexpr int pitch = width + many;  // transposed stores then meet few bank conflicts
  static constexpr int along = (Operand::deep ? depth : width) / many;  // packs in a row that is contiguous in memory
  typename Operand::Place places[rounds];
  Pack<T> held[rounds];

  static MICA_DEVICE unsigned index(int round) { return threadIdx.x + static_cast<unsigned>(round * threads); }
  static MICA_DEVICE unsigned x(int round) { return Operand::deep ? index(round) / along : index(round) % along * many; }
  static MICA_DEVICE unsigned p(int round) { return Operand::deep ? index(round) % along * many : index(round) / along; }
  static MICA_DEVICE bool takes_part(int round) { return packs % threads == 0 || index(round) < packs; }

  MICA_DEVICE void start(const Operand& from, unsigned first_x) {
#pragma unroll
    for (int r = 0; r < rounds; ++r) places[r] = from.place(first_x + x(r));
  }
  // Memory → registers. Beyond the operand's ends are zeros.
  MICA_DEVICE void fetch(const Operand& from, unsigned first_x, unsigned first_p, unsigned end_p) {
#pragma unroll
    for (int r = 0; r < rounds; ++r) {
      if (!takes_part(r)) continue;
      const unsigned at_x = first_x + x(r), at_p = first_p + p(r);
      if (from.packed) {
        held[r] = at_x < from.size && at_p < end_p ? from.pack(places[r], at_p) : Pack<T>{};
        continue;
      }
#pragma unroll
      for (int k = 0; k < many; ++k) {
        const unsigned here_x = Operand::deep ? at_x : at_x + k, here_p = Operand::deep ? at_p + k : at_p;
        const bool inside = here_x < from.size && here_p < end_p;
        held[r].at[k] = inside ? from.element(Operand::deep ? places[r] : from.place(here_x), here_p) : T(0);
      }
    }
  }
  // Registers → shared memory.
  MICA_DEVICE void put(T (*panel)[pitch]) const {
#pragma unroll
    for (int r = 0; r < rounds; ++r) {
      if (!takes_part(r)) continue;
      if constexpr (Operand::deep) {
#pragma unroll
        for (int k = 0; k < many; ++k) panel[p(r) + k][x(r)] = held[r].at[k];
      } else {
        store_pack(&panel[p(r)][x(r)], held[r]);
      }
    }
  }
};

// A thread's rows or columns: packs at an even distance, so that a warp's are side by side.
template <class T, int tile, int each>
MICA_DEVICE int within_tile(int thread, int k) {
  constexpr int many = Pack<T>::size, apart = tile / (each / many);
  return k / many * apart + thread * many + k % many;
}

template <class T, int tile, int each>
MICA_DEVICE void load_fragment(T* fragment, const T* row, int thread) {
  constexpr int many = Pack<T>::size;
#pragma unroll
  for (int k = 0; k < each; k += many) {
    const Pack<T> pack = load_pack(row + within_tile<T, tile, each>(thread, k));
#pragma unroll
    for (int l = 0; l < many; ++l) fragment[k + l] = pack.at[l];
  }
}

template <class Tile, class T>
MICA_DEVICE void store_tile(const ProductSizes& d, const ProductOutput<T>& out, T* c, const T* bias, unsigned row0, unsigned column0,
                            const T (&total)[Tile::each_m][Tile::each_n]) {
  constexpr int many = Pack<T>::size;
  const int thread_m = static_cast<int>(threadIdx.x) / Tile::threads_n, thread_n = static_cast<int>(threadIdx.x) % Tile::threads_n;
#pragma unroll
  for (int i = 0; i < Tile::each_m; ++i) {
    const unsigned row = row0 + within_tile<T, Tile::m, Tile::each_m>(thread_m, i);
    if (row >= d.m) return;
#pragma unroll
    for (int j = 0; j < Tile::each_n; j += many) {
      const unsigned column = column0 + within_tile<T, Tile::n, Tile::each_n>(thread_n, j);
      Pack<T> sums;
#pragma unroll
      for (int l = 0; l < many; ++l) sums.at[l] = total[i][j + l] + (bias && column + l < d.n ? bias[column + l] : T(0));
      T* to = c + row * out.row_step + column;
      if (out.packed && column < d.n) {
        store_pack(to, sums);
      } else {
#pragma unroll
        for (int l = 0; l < many; ++l)
          if (column + l < d.n) to[l] = sums.at[l];
      }
    }
  }
}

template <class Tile, class A, class B>
__global__ void __launch_bounds__(Tile::threads, Tile::blocks)
    tile_product_kernel(ProductSizes d, A every_a, B every_b, ProductOutput<typename A::Element> out) {
  using T = typename A::Element;
  using PanelA = Panel<A, Tile::m, Tile::depth, Tile::threads>;
  using PanelB = Panel<B, Tile::n, Tile::depth, Tile::threads>;
  constexpr int depth = Tile::depth, pitch_a = PanelA::pitch, pitch_b = PanelB::pitch;
  MICA_SHARED_ALIGNED(16, T, panels_a, [2][depth][pitch_a]);
  MICA_SHARED_ALIGNED(16, T, panels_b, [2][depth][pitch_b]);

  unsigned rest = blockIdx.x;
  const unsigned column0 = rest % d.tiles_n * Tile::n;
  rest /= d.tiles_n;
  const unsigned row0 = rest % d.tiles_m * Tile::m;
  rest /= d.tiles_m;
  const unsigned chunk = rest % d.chunks, product = rest / d.chunks;
  const unsigned begin = chunk * d.chunk, end = d.chunk < d.k - begin ? begin + d.chunk : d.k;
  const A a = every_a.of(product);
  const B b = every_b.of(product);

  PanelA panel_a;
  PanelB panel_b;
  panel_a.start(a, row0);
  panel_b.start(b, column0);
  panel_a.fetch(a, row0, begin, end);
  panel_b.fetch(b, column0, begin, end);
  panel_a.put(panels_a[0]);
  panel_b.put(panels_b[0]);
  __syncthreads();

  const int thread_m = static_cast<int>(threadIdx.x) / Tile::threads_n, thread_n = static_cast<int>(threadIdx.x) % Tile::threads_n;
  T total[Tile::each_m][Tile::each_n] = {};
  int buffer = 0;
  for (unsigned p0 = begin; p0 < end; p0 += depth) {
    const bool more = p0 + depth < end;
    if (more) {
      panel_a.fetch(a, row0, p0 + depth, end);
      panel_b.fetch(b, column0, p0 + depth, end);
    }
#pragma unroll
    for (int p = 0; p < depth; ++p) {
      T of_a[Tile::each_m], of_b[Tile::each_n];
      load_fragment<T, Tile::m, Tile::each_m>(of_a, panels_a[buffer][p], thread_m);
      load_fragment<T, Tile::n, Tile::each_n>(of_b, panels_b[buffer][p], thread_n);
#pragma unroll
      for (int i = 0; i < Tile::each_m; ++i)
#pragma unroll
        for (int j = 0; j < Tile::each_n; ++j) total[i][j] = math::multiply_add<true>(of_a[i], of_b[j], total[i][j]);
    }
    if (more) {  // nobody reads the other buffer: all have passed the barrier after reading it
      panel_a.put(panels_a[1 - buffer]);
      panel_b.put(panels_b[1 - buffer]);
      __syncthreads();
    }
    buffer = 1 - buffer;
  }
  T* c = out.data + product * out.product_step + chunk * out.chunk_step;
  store_tile<Tile>(d, out, c, out.bias ? out.bias + product * out.bias_step : nullptr, row0, column0, total);
}

// How many chunks k is cut into: enough blocks for a large device, as long as a chunk is worth its block.
inline i64 chunks_for(i64 blocks, i64 k) {
  constexpr i64 enough_blocks = 256, shortest = 128;
  return blocks >= enough_blocks ? 1 : std::clamp<i64>(k / shortest, 1, ceil_div(2 * enough_blocks, blocks));
}

// d: m, n, k and products. `elements`: of c, all products together; out.data is c.
template <class Tile, class A, class B, class T>
void tile_product(Cuda& cuda, const char* name, ProductSizes d, i64 elements, const A& a, const B& b, ProductOutput<T> out) {
  d.tiles_m = static_cast<unsigned>(ceil_div(d.m, Tile::m));
  d.tiles_n = static_cast<unsigned>(ceil_div(d.n, Tile::n));
  const i64 blocks = i64{d.tiles_m} * d.tiles_n * d.products;
  d.chunk = static_cast<unsigned>(ceil_div(ceil_div(d.k, chunks_for(blocks, d.k)), Tile::depth) * Tile::depth);
  d.chunks = d.chunk == 0 ? 1 : static_cast<unsigned>(ceil_div(d.k, d.chunk));
  const auto packed = [](const ProductOutput<T>& to) {
    constexpr int many = Pack<T>::size;
    return all_aligned(to.data) && to.row_step % many == 0 && to.product_step % many == 0 && to.chunk_step % many == 0;
  };
  const LaunchShape shape{dim3(static_cast<unsigned>(blocks * d.chunks)), dim3(Tile::threads)};
  if (d.chunks == 1) {
    out.packed = packed(out);
    launch(cuda, name, tile_product_kernel<Tile, A, B>, shape, d, a, b, out);
    return;
  }
  const auto partial = cuda.scratch<T>(d.chunks * elements);
  // The bias of an element is known by its column, of all products side by side where they have biases of their own.
  PartialSums<T> sums{partial.get(), d.chunks, static_cast<unsigned>(elements), out.data, static_cast<unsigned>(elements), nullptr,
                      out.bias, out.bias_step == 0 ? d.n : static_cast<unsigned>(out.row_step)};
  out.data = partial.get(), out.chunk_step = elements, out.bias = nullptr;
  out.packed = packed(out);
  launch(cuda, name, tile_product_kernel<Tile, A, B>, shape, d, a, b, out);
  add_partial_sums(cuda, name, sums);
}

// The tile by size: tall ones where c is narrow, small ones where it is small, large ones where enough of them keep a device
// busy. f64, which is for checks, has two.
template <class A, class B, class T>
void product(Cuda& cuda, const char* name, i64 m, i64 n, i64 k, i64 products, const A& a, const B& b, const ProductOutput<T>& out) {
  if (m == 0 || n == 0 || products == 0) return;
  const ProductSizes d{static_cast<unsigned>(m), static_cast<unsigned>(n), static_cast<unsigned>(k), static_cast<unsigned>(products)};
  const auto by = [&]<class Tile>(Tile) { tile_product<Tile>(cuda, name, d, m * n * products, a, b, out); };
  constexpr bool large_fits = sizeof(T) == 4 && !A::gathers && !B::gathers;
  const bool many_large = ceil_div(m, 128) * ceil_div(n, 128) * products >= 200;
  if constexpr (sizeof(T) == 8) {
    if (m <= 32 || n <= 32) by(Tile<32, 32, 8, 4, 4>());
    else by(Tile<64, 64, 8, 4, 4>());
  } else {
    if (m <= 32) by(Tile<32, 32, 16, 4, 4>());
    else if (n <= 16) by(Tile<128, 16, 16, 4, 4>());
    else if (n <= 32) by(Tile<128, 32, 16, 8, 4>());
    else if (!large_fits || !many_large) by(Tile<64, 64, 16, 4, 4>());
    else if constexpr (large_fits) by(Tile<128, 128, 8, 8, 8>());
  }
}

}  // namespace mica::kernels
