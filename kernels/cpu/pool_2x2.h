// Max pooling of windows of 2×2 side by side, sixteen channels at a time: the case that networks have. Included by
// each_instruction_set.h, for which it has no include guard and no namespace. Who wins is defined in kernels/pool.h.

// One row of windows, from the two rows of pixels x, row and columns in floats.
void pool_row(i64 windows, i64 c, i64 row, const float* x, float* y) {
  for (i64 j = 0; j < windows; ++j, x += 2 * c, y += c)
    for (i64 k = 0; k < c; k += 16) {
      const int count = static_cast<int>(std::min<i64>(16, c - k));
      __builtin_prefetch(x + k + 2 * row);
      __builtin_prefetch(x + k + c + 2 * row);
      __builtin_prefetch(x + k + 3 * row);
      __builtin_prefetch(x + k + c + 3 * row);
      Vector best = Vector::load(x + k, count);
      for (const i64 at : {c, row, row + c}) {
        const Vector next = Vector::load(x + k + at, count);
        best = where_beats(next, best, next, best);
      }
      best.store(y + k, count);
    }
}

// gx gets gy where x won, and 0 elsewhere.
void unpool_row(i64 windows, i64 c, i64 row, const float* x, const float* gy, float* gx) {
  const Vector zero = Vector::broadcast(0);
  for (i64 j = 0; j < windows; ++j, x += 2 * c, gx += 2 * c, gy += c)
    for (i64 k = 0; k < c; k += 16) {
      const int count = static_cast<int>(std::min<i64>(16, c - k));
      const i64 at[4] = {k, k + c, k + row, k + row + c};
      Vector best = Vector::load(x + k, count), gradient[4] = {Vector::load(gy + k, count), zero, zero, zero};
      const Vector g = gradient[0];
#pragma GCC unroll 4
      for (int i = 1; i < 4; ++i) {
        const Vector next = Vector::load(x + at[i], count);
        gradient[i] = where_beats(next, best, g, zero);
#pragma GCC unroll 4
        for (int earlier = 0; earlier < i; ++earlier) gradient[earlier] = where_beats(next, best, zero, gradient[earlier]);
        best = where_beats(next, best, next, best);
      }
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        __builtin_prefetch(x + at[i] + 2 * row);
        __builtin_prefetch(gx + at[i] + 2 * row, 1);
        gradient[i].store(gx + at[i], count);
      }
    }
}
