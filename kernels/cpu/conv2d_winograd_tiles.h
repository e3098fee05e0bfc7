// Winograd's transforms and products, sixteen channels at a time. Included by each_instruction_set.h, for which it has no
// include guard and no namespace. A transformed tile is 16 points of 16 channels; a run of tiles is an array
// [channels/16][16 points][run + 1 tiles][16 channels]. (The tile more keeps points out of one set of the cache.)

template <int run> constexpr int point_step = (run + 1) * 16;        // floats from a point to the next
template <int run> constexpr int block_step = 16 * point_step<run>;  // and from sixteen channels to the next

// ---- one dimension ----

inline void input_transform(const Vector* d, Vector* v) {  // Bᵀ: 4 → 4
  v[0] = d[0] - d[2];
  v[1] = d[1] + d[2];
  v[2] = d[2] - d[1];
  v[3] = d[1] - d[3];
}
inline void output_transform(const Vector* m, Vector* y) {  // Aᵀ: 4 → 2
  y[0] = m[0] + m[1] + m[2];
  y[1] = m[1] - m[2] - m[3];
}
inline void gradient_transform(const Vector* y, Vector* z) {  // A: 2 → 4
  z[0] = y[0];
  z[1] = y[0] + y[1];
  z[2] = y[0] - y[1];
  z[3] = Vector::broadcast(0) - y[1];
}
inline void input_gradient_transform(const Vector* m, Vector* g) {  // B: 4 → 4
  g[0] = m[0];
  g[1] = m[1] - m[2] + m[3];
  g[2] = m[1] + m[2] - m[0];
  g[3] = Vector::broadcast(0) - m[3];
}
inline void filter_transform(const Vector* g, Vector* u) {  // G: 3 → 4
  const Vector half = Vector::broadcast(0.5F), outer = (g[0] + g[2]) * half, inner = g[1] * half;
  u[0] = g[0];
  u[1] = outer + inner;
  u[2] = outer - inner;
  u[3] = g[2];
}
inline void filter_gradient_transform(const Vector* u, Vector* g) {  // Gᵀ: 4 → 3
  const Vector half = Vector::broadcast(0.5F), sum = (u[1] + u[2]) * half;
  g[0] = u[0] + sum;
  g[1] = (u[1] - u[2]) * half;
  g[2] = sum + u[3];
}

// ---- two dimensions: along the columns, then along the rows ----

template <auto transform, int In, int Out>
inline void transform_tile(const Vector (&in)[In][In], Vector (&out)[Out][Out]) {
  Vector half[Out][In];
#pragma GCC unroll 4
  for (int j = 0; j < In; ++j) {
    Vector column[In], result[Out];
#pragma GCC unroll 4
    for (int i = 0; i < In; ++i) column[i] = in[i][j];
    transform(column, result);
#pragma GCC unroll 4
    for (int i = 0; i < Out; ++i) half[i][j] = result[i];
  }
#pragma GCC unroll 4
  for (int i = 0; i < Out; ++i) transform(half[i], out[i]);
}

// ---- tiles of images ----

// Tiles of Size×Size pixels are two pixels apart, whatever their size. These are of sixteen channels, from c on.

// Fetches the pixels that the tile below will be the first to touch.
template <int Size>
inline void prefetch_below(const float* corner, i64 row, i64 pixel) {
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) __builtin_prefetch(corner + (Size + i / 2) * row + i % 2 * pixel);
}

// Zero outside the image. `whole`: none of the tile is.
template <int Size, bool whole>
inline void load_pixels(const Image& image, const float* pixels, i64 top, i64 left, i64 c, Vector (&tile)[Size][Size]) {
  const i64 row = image.w * image.c, pixel = image.c;
  const float* corner = pixels + top * row + left * pixel + c;
  prefetch_below<Size>(corner, row, pixel);
#pragma GCC unroll 4
  for (int i = 0; i < Size; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < Size; ++j)
      tile[i][j] = whole || image.has(top + i, left + j) ? Vector::load(corner + i * row + j * pixel) : Vector::broadcast(0);
}

// Its counterpart: where a tile overlaps those above and to the left, it adds to what they wrote. `whole`: it overlaps both
// and is inside the image; otherwise `overlap` says how many of its rows and columns do.
template <int Size, bool whole>
inline void store_pixels(const Image& image, float* pixels, i64 top, i64 left, i64 c, const std::array<int, 2>& overlap,
                         const Vector (&tile)[Size][Size]) {
  const i64 row = image.w * image.c, pixel = image.c;
  float* corner = pixels + top * row + left * pixel + c;
  prefetch_below<Size>(corner, row, pixel);
#pragma GCC unroll 4
  for (int i = 0; i < Size; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < Size; ++j) {
      float* to = corner + i * row + j * pixel;
      const bool again = whole ? i < Size - 2 || j < Size - 2 : i < overlap[0] || j < overlap[1];
      if (whole || image.has(top + i, left + j)) (again ? Vector::load(to) + tile[i][j] : tile[i][j]).store(to);
    }
}

// points = transform of the image's tile at (top, left), all channels, as one of a run of tiles.
template <int run, auto transform, int Size, bool whole>
void take_tile(const Image image, const float* pixels, i64 top, i64 left, float* points) {
  for (i64 c = 0; c < image.c; c += 16, points += block_step<run>) {
    Vector tile[Size][Size], result[4][4];
    load_pixels<Size, whole>(image, pixels, top, left, c, tile);
    transform_tile<transform>(tile, result);
#pragma GCC unroll 16
    for (int e = 0; e < 16; ++e) result[e / 4][e % 4].store(points + e * point_step<run>);
  }
}

// The other way: transforms a tile's products into pixels, with a bias if there is one.
template <int run, auto transform, int Size, bool whole>
void put_tile(const Image image, const float* points, const float* bias, i64 top, i64 left, const std::array<int, 2> overlap,
              float* pixels) {
  for (i64 c = 0; c < image.c; c += 16, points += block_step<run>) {
    Vector tile[4][4], result[Size][Size];
#pragma GCC unroll 16
    for (int e = 0; e < 16; ++e) tile[e / 4][e % 4] = Vector::load(points + e * point_step<run>);
    transform_tile<transform>(tile, result);
    if (bias) {
      const Vector shift = Vector::load(bias + c);
#pragma GCC unroll 4
      for (int i = 0; i < Size * Size; ++i) result[i / Size][i % Size] = result[i / Size][i % Size] + shift;
    }
    store_pixels<Size, whole>(image, pixels, top, left, c, overlap, result);
  }
}

inline bool is_inside(const Image& image, i64 top, i64 left, int size) {
  return image.has(top, left) && image.has(top + size - 1, left + size - 1);
}

// A run of tiles in turn; `offset` is that of an image's first tile.
template <int run, auto transform, int Size>
inline void take_tiles(const Image& image, const std::array<i64, 2>& offset, int tiles, TileWalk& walk, const float* images,
                       float* points) {
  for (int t = 0; t < tiles; ++t, walk.next(), points += 16) {
    const i64 top = 2 * walk.i + offset[0], left = 2 * walk.j + offset[1];
    const float* pixels = images + walk.n * image.size();
    if (is_inside(image, top, left, Size))
      take_tile<run, transform, Size, true>(image, pixels, top, left, points);
    else
      take_tile<run, transform, Size, false>(image, pixels, top, left, points);
  }
}
template <int run, auto transform, int Size>
inline void put_tiles(const Image& image, const std::array<i64, 2>& offset, int tiles, TileWalk& walk, const float* points,
                      const float* bias, float* images) {
  for (int t = 0; t < tiles; ++t, walk.next(), points += 16) {
    const i64 top = 2 * walk.i + offset[0], left = 2 * walk.j + offset[1];
    float* pixels = images + walk.n * image.size();
    const std::array<int, 2> overlap{walk.i > 0 ? Size - 2 : 0, walk.j > 0 ? Size - 2 : 0};
    if (is_inside(image, top, left, Size) && overlap[0] == Size - 2 && overlap[1] == Size - 2)
      put_tile<run, transform, Size, true>(image, points, bias, top, left, overlap, pixels);
    else
      put_tile<run, transform, Size, false>(image, points, bias, top, left, overlap, pixels);
  }
}

// ---- products ----

// m[Rows × 16·Columns] = v[Rows×c] · u[c × 16·Columns], of one point. Rows and columns of v and m are tiles and channels.
template <int run, int Rows, int Columns>
inline void product_block(i64 c, i64 o, const float* v, const float* u, float* m) {
  Vector sums[Rows][Columns];
#pragma GCC unroll 16
  for (int row = 0; row < Rows; ++row)
#pragma GCC unroll 2
    for (int k = 0; k < Columns; ++k) sums[row][k] = Vector::broadcast(0);
  for (; c > 0; c -= 16, v += block_step<run>)
#pragma GCC unroll 4
    for (int i = 0; i < 16; ++i, u += o) {
      Vector by[Columns];
#pragma GCC unroll 2
      for (int k = 0; k < Columns; ++k) by[k] = Vector::load(u + 16 * k);
#pragma GCC unroll 16
      for (int row = 0; row < Rows; ++row) {
        const Vector value = Vector::broadcast(v[row * 16 + i]);
#pragma GCC unroll 2
        for (int k = 0; k < Columns; ++k) sums[row][k] = multiply_add(value, by[k], sums[row][k]);
      }
    }
#pragma GCC unroll 16
  for (int row = 0; row < Rows; ++row)
#pragma GCC unroll 2
    for (int k = 0; k < Columns; ++k) sums[row][k].store(m + k * block_step<run> + row * 16);
}

// m[run×o] = v[run×c] · u[c×o], of every point. (Not inlined: then it has all registers for itself.)
template <int run>
__attribute__((noinline)) void products(i64 c, i64 o, const float* v, const float* u, float* m) {
  constexpr int rows = std::min(12, Vector::registers), columns = Vector::registers / rows;
  static_assert(run % rows == 0);
  for (int e = 0; e < 16; ++e, v += point_step<run>, u += c * o, m += point_step<run>)
    for (int row = 0; row < run * 16; row += rows * 16) {
      float* to = m + row;
      i64 k = 0;
      for (; k + 16 * columns <= o; k += 16 * columns, to += columns * block_step<run>)
        product_block<run, rows, columns>(c, o, v + row, u + k, to);
      for (; k < o; k += 16, to += block_step<run>) product_block<run, rows, 1>(c, o, v + row, u + k, to);
    }
}

// sums[Rows×16] += zᵀ[Rows×tiles] · v[tiles×16], of one point.
template <int Rows>
inline void outer_product_block(int tiles, i64 c, const float* z, const float* v, float* sums) {
  Vector total[Rows];
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) total[i] = Vector::load(sums + i * c);
  for (const float* end = v + tiles * 16; v != end; v += 16, z += 16) {
    const Vector value = Vector::load(v);
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) total[i] = multiply_add(Vector::broadcast(z[i]), value, total[i]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) total[i].store(sums + i * c);
}

// sums[o×c] += zᵀ[o×tiles] · v[tiles×c], of every point.
template <int run>
__attribute__((noinline)) void add_outer_products(int tiles, i64 c, i64 o, const float* z, const float* v, float* sums) {
  constexpr int rows = Vector::registers >= 16 ? 16 : 4;
  for (int e = 0; e < 16; ++e, z += point_step<run>, v += point_step<run>, sums += o * c)
    for (i64 row = 0; row < o; row += rows)
      for (i64 k = 0; k < c; k += 16)
        outer_product_block<rows>(tiles, c, z + row / 16 * block_step<run> + row % 16, v + k / 16 * block_step<run>, sums + row * c + k);
}

// sums[o] += Σ over tiles of z[tiles×o]
template <int run>
inline void add_rows(int tiles, i64 o, const float* z, float* sums) {
  for (i64 k = 0; k < o; k += 16) {
    Vector total = Vector::load(sums + k);
    for (int tile = 0; tile < tiles; ++tile) total = total + Vector::load(z + k / 16 * block_step<run> + tile * 16);
    total.store(sums + k);
  }
}

// ---- filters ----

// For filters [begin, end) of w[o][3][3][c], G w Gᵀ: u[16][c][o], or u[16][o][c] if `transposed`.
void transform_filters(i64 c, i64 o, i64 begin, i64 end, const float* w, bool transposed, float* u) {
  Vector filter[3][3], result[4][4];
  float lanes[16];
  for (i64 at = begin; at < end; ++at)
    for (i64 k = 0; k < c; k += 16) {
      for (int i = 0; i < 9; ++i) filter[i / 3][i % 3] = Vector::load(w + (at * 9 + i) * c + k);
      transform_tile<filter_transform>(filter, result);
      for (int e = 0; e < 16; ++e) {
        if (transposed) {
          result[e / 4][e % 4].store(u + (e * o + at) * c + k);
          continue;
        }
        result[e / 4][e % 4].store(lanes);
        for (int lane = 0; lane < 16; ++lane) u[(e * c + k + lane) * o + at] = lanes[lane];
      }
    }
}

// gw[o][3][3][c] = Gᵀ sums G for filters [begin, end), where sums[16][o][c] are those of all blocks, `block` floats apart.
void finish_filter_gradient(i64 c, i64 o, i64 begin, i64 end, const float* sums, i64 block, i64 blocks, float* gw) {
  Vector points[4][4], result[3][3];
  for (i64 at = begin; at < end; ++at)
    for (i64 k = 0; k < c; k += 16) {
      for (int e = 0; e < 16; ++e) {
        const float* from = sums + (e * o + at) * c + k;
        points[e / 4][e % 4] = Vector::load(from);
        for (i64 b = 1; b < blocks; ++b) points[e / 4][e % 4] = points[e / 4][e % 4] + Vector::load(from + b * block);
      }
      transform_tile<filter_gradient_transform>(points, result);
      for (int i = 0; i < 9; ++i) result[i / 3][i % 3].store(gw + (at * 9 + i) * c + k);
    }
}

// ---- runs of tiles ----

// y from x for all tiles of images [begin, end). points: (c + o)·point_step.
void forward_images(const Plan& p, i64 begin, i64 end, const float* x, const float* u, const float* bias, float* y, float* points) {
  constexpr int run = forward_run;
  const i64 c = p.in.c, o = p.out.c;
  float *v = points, *m = v + c * point_step<run>;
  TileWalk from(p, begin), to(p, begin);
  for (i64 left = (end - begin) * p.tiles(); left > 0; left -= run) {
    const int tiles = static_cast<int>(std::min<i64>(run, left));
    take_tiles<run, input_transform, 4>(p.in, p.offset, tiles, from, x, v);
    products<run>(c, o, v, u, m);
    put_tiles<run, output_transform, 2>(p.out, {0, 0}, tiles, to, m, bias, y);
  }
}

// gx, and sums[16][o][c] and bias_sums[o], of all tiles of images [begin, end); gx or both sums may be null.
// points: (2c + o)·point_step.
void backward_images(const Plan& p, i64 begin, i64 end, const float* x, const float* gy, const float* u, float* gx, float* sums,
                     float* bias_sums, float* points) {
  constexpr int run = backward_run;
  const i64 c = p.in.c, o = p.out.c;
  float *z = points, *v = z + o * point_step<run>, *m = v + c * point_step<run>;
  if (sums) std::fill(sums, sums + 16 * o * c, 0.0F);
  if (sums) std::fill(bias_sums, bias_sums + o, 0.0F);
  TileWalk from_gy(p, begin), from_x(p, begin), to(p, begin);
  for (i64 left = (end - begin) * p.tiles(); left > 0; left -= run) {
    const int tiles = static_cast<int>(std::min<i64>(run, left));
    take_tiles<run, gradient_transform, 2>(p.out, {0, 0}, tiles, from_gy, gy, z);
    if (sums) take_tiles<run, input_transform, 4>(p.in, p.offset, tiles, from_x, x, v);
    if (gx) products<run>(o, c, z, u, m);
    if (sums) add_outer_products<run>(tiles, c, o, z, v, sums);
    if (sums) add_rows<run>(tiles, o, z + 5 * point_step<run>, bias_sums);  // point (1, 1) of A gy Aᵀ: the sum of a tile's pixels
    if (gx) put_tiles<run, input_gradient_transform, 4>(p.in, p.offset, tiles, to, m, nullptr, gx);
  }
}
