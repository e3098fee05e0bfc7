// The loops of augmentation over an image's pixels, free of branches so that they become vector code. Included by
// each_instruction_set.h, for which it has no include guard and no namespace. The formulas are kernels/image_transform.h's.

void from_bytes(i64 pixels, const std::uint8_t* x, float* y) {
  const Bytes image{static_cast<int>(pixels), x};
  for (int i = 0; i < static_cast<int>(pixels); ++i) y[i] = image(0, i);
}

void normalise(i64 pixels, const Normalization& to, float* x) {
  for (i64 i = 0; i < pixels; ++i) x[i] = normalised(x[i], to.mean, to.std);
}

void brighten(i64 pixels, float factor, float* x) {
  for (i64 i = 0; i < pixels; ++i) x[i] = brightened(x[i], factor);
}

void contrast(i64 pixels, float factor, float* x) {
  double lanes[mean_lanes] = {};
  i64 first = 0;
  for (; first + mean_lanes <= pixels; first += mean_lanes)
    for (i64 lane = 0; lane < mean_lanes; ++lane) lanes[lane] += static_cast<double>(x[first + lane]);
  for (i64 lane = 0; first + lane < pixels; ++lane) lanes[lane] += static_cast<double>(x[first + lane]);
  const float mean = mean_of(lanes, pixels);
  for (i64 i = 0; i < pixels; ++i) x[i] = contrasted(x[i], factor, mean);
}

void crop(int h, int w, int size, const float* __restrict x, float* __restrict y) {
  const Cropped<Floats> image{{w, x}, h, w, size};
  for (int row = 0; row < h; ++row)
    for (int column = 0; column < w; ++column) y[row * w + column] = image(row, column);
}

void shift(int h, int w, const Shift& by, float fill, const float* __restrict x, float* __restrict y) {
  const Filled<Floats> image{{w, x}, h, w, fill};
  for (int row = 0; row < h; ++row)
    for (int column = 0; column < w; ++column) y[row * w + column] = image(row + by.down, column + by.right);
}

// ---- sampling: xs and ys are h×w source positions ----

void affine_positions(int h, int w, const AffineMap& map, float* __restrict xs, float* __restrict ys) {
  for (int row = 0; row < h; ++row)
    for (int column = 0; column < w; ++column) {
      const Position p = source_of(map, h, w, row, column);
      xs[row * w + column] = p.x, ys[row * w + column] = p.y;
    }
}

// In place of the displacements, in units of `scale` pixels.
void elastic_positions(int h, int w, float scale, float* __restrict xs, float* __restrict ys) {
  for (int row = 0; row < h; ++row)
    for (int column = 0; column < w; ++column) {
      const Position p = displaced(row, column, scale, ys[row * w + column], xs[row * w + column]);
      xs[row * w + column] = p.x, ys[row * w + column] = p.y;
    }
}

// Both take turns: where a few pixels come from, as vector code, and reading those, which is no vector code on most processors.
constexpr int turn = 64;

void sample_nearest(int h, int w, float fill, const float* __restrict x, const float* __restrict xs, const float* __restrict ys, float* __restrict y) {
  int from[turn];  // −1: outside
  for (int first = 0; first < h * w; first += turn) {
    const int count = std::min(turn, h * w - first);
    for (int i = 0; i < count; ++i) {
      const int row = nearest_to(ys[first + i], h), column = nearest_to(xs[first + i], w);
      from[i] = ((row >= 0) & (row < h) & (column >= 0) & (column < w)) ? row * w + column : -1;
    }
    for (int i = 0; i < count; ++i) y[first + i] = *(from[i] < 0 ? &fill : x + from[i]);  // without a branch
  }
}

void sample_bilinear(int h, int w, float fill, const float* __restrict x, const float* __restrict xs, const float* __restrict ys, float* __restrict y) {
  int from[4][turn];
  float v[4][turn];
  for (int first = 0; first < h * w; first += turn) {
    const int count = std::min(turn, h * w - first);
    for (int i = 0; i < count; ++i) {
      const Beside row = beside(ys[first + i], h), column = beside(xs[first + i], w);
      from[0][i] = row.low * w + column.low, from[1][i] = row.low * w + column.high;
      from[2][i] = row.high * w + column.low, from[3][i] = row.high * w + column.high;
    }
    for (int i = 0; i < count; ++i)
      for (int k = 0; k < 4; ++k) v[k][i] = x[from[k][i]];
    for (int i = 0; i < count; ++i)
      y[first + i] = blend({beside(ys[first + i], h), beside(xs[first + i], w)}, v[0][i], v[1][i], v[2][i], v[3][i], fill);
  }
}

// ---- elastic noise ----

// n numbers from U(−1, 1).
void draw_noise(const RandomKey& key, i64 n, float* y) {
  constexpr i64 lanes = 16;  // Philox blocks side by side
  float numbers[4 * lanes];
  for (i64 first = 0; first < n; first += 4 * lanes) {
    for (i64 lane = 0; lane < lanes; ++lane) {
      const RandomBlock bits = philox(key, static_cast<std::uint32_t>(first / 4 + lane));
      for (i64 i = 0; i < 4; ++i) numbers[4 * lane + i] = noise_from(bits[static_cast<std::size_t>(i)]);
    }
    std::copy_n(numbers, std::min(4 * lanes, n - first), y + first);
  }
}

// c[rows×n] = a[rows×k]·b[k×n], every sum in the order of k.
template <int rows>
void product_rows(i64 k, i64 n, const float* a, const float* b, float* c) {
  for (i64 column = 0; column < n; column += 16) {
    const int count = static_cast<int>(std::min<i64>(16, n - column));
    Vector sum[rows];
    for (Vector& s : sum) s = Vector::broadcast(0);
    for (i64 j = 0; j < k; ++j) {
      const Vector x = Vector::load(b + j * n + column, count);
#pragma GCC unroll 8
      for (int r = 0; r < rows; ++r) sum[r] = sum[r] + Vector::broadcast(a[r * k + j]) * x;
    }
    for (int r = 0; r < rows; ++r) sum[r].store(c + r * n + column, count);
  }
}

void product(i64 m, i64 k, i64 n, const float* a, const float* b, float* c) {
  constexpr int rows = Vector::registers < 8 ? 4 : 8;
  i64 i = 0;
  for (; i + rows <= m; i += rows) product_rows<rows>(k, n, a + i * k, b, c + i * n);
  for (; i + 4 <= m; i += 4) product_rows<4>(k, n, a + i * k, b, c + i * n);
  for (; i < m; ++i) product_rows<1>(k, n, a + i * k, b, c + i * n);
}
