// Direct convolution of rows of pixels. Included by each_instruction_set.h, for which it has no include guard and no
// namespace.

// Pixels side by side of y from x: pixel p's row u of taps begins at x[u·row + p·step], weights are w[rows·taps][o].
template <int Pixels>
inline void convolve_pixels(const Taps& k, i64 o, const float* x, const float* w, const float* bias, float* y) {
  for (i64 at = 0; at < o; at += 16) {
    Vector sums[Pixels];
    const Vector start = bias ? Vector::load(bias + at) : Vector::broadcast(0);
#pragma GCC unroll 8
    for (int p = 0; p < Pixels; ++p) {
      sums[p] = start;
      __builtin_prefetch(y + p * o + at + 1024, 1);
    }
    const float* weights = w + at;
    for (i64 u = 0; u < k.rows; ++u)
      for (const float *from = x + u * k.row, *end = from + k.taps; from != end; ++from, weights += o) {
        const Vector weight = Vector::load(weights);
#pragma GCC unroll 8
        for (int p = 0; p < Pixels; ++p) sums[p] = multiply_add(Vector::broadcast(from[p * k.step]), weight, sums[p]);
      }
#pragma GCC unroll 8
    for (int p = 0; p < Pixels; ++p) sums[p].store(y + p * o + at);
  }
}

// y[pixels][o] from x.
void convolve_row(const Taps& k, i64 o, i64 pixels, const float* x, const float* w, const float* bias, float* y) {
  constexpr int block = Vector::registers >= 8 ? 8 : 4;
  i64 p = 0;
  for (; p + block <= pixels; p += block) {
    for (i64 ahead = 0; ahead < block * k.step; ahead += 16) __builtin_prefetch(x + p * k.step + ahead + 1024);
    convolve_pixels<block>(k, o, x + p * k.step, w, bias, y + p * o);
  }
  for (; p < pixels; ++p) convolve_pixels<1>(k, o, x + p * k.step, w, bias, y + p * o);
}

// sums[Rows·Count taps][16 of o] += Σ over pixels of x's tap · gy.
template <int Rows, int Count>
inline void add_taps(const Taps& k, i64 o, i64 pixels, const float* x, const float* gy, float* sums) {
  Vector total[Rows][Count];
#pragma GCC unroll 16
  for (int i = 0; i < Rows * Count; ++i) total[i / Count][i % Count] = Vector::load(sums + i * o);
  for (const float* end = gy + pixels * o; gy != end; gy += o, x += k.step) {
    __builtin_prefetch(gy + 1024);
    const Vector g = Vector::load(gy);
#pragma GCC unroll 4
    for (int u = 0; u < Rows; ++u)
#pragma GCC unroll 16
      for (int t = 0; t < Count; ++t) total[u][t] = multiply_add(Vector::broadcast(x[u * k.row + t]), g, total[u][t]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows * Count; ++i) total[i / Count][i % Count].store(sums + i * o);
}

// sums[rows·taps][o] and bias_sums[o] get a row of pixels' terms.
void add_weight_gradient(const Taps& k, i64 o, i64 pixels, const float* x, const float* gy, float* sums, float* bias_sums) {
  constexpr int count = Vector::registers >= 16 ? 16 : 4;
  for (i64 at = 0; at < o; at += 16) {
    if (k.rows == 3)
      add_taps<3, 3>(k, o, pixels, x, gy + at, sums + at);
    else
      for (i64 t = 0; t < k.taps; t += count) add_taps<1, count>(k, o, pixels, x + t, gy + at, sums + t * o + at);
    Vector total = Vector::load(bias_sums + at);
    for (i64 p = 0; p < pixels; ++p) total = total + Vector::load(gy + p * o + at);
    total.store(bias_sums + at);
  }
}
