// The loops of elementwise ops, for any functor of kernels/functors.h. Included by each_instruction_set.h, for which it
// has no include guard and no namespace. Equal elements give equal results wherever they stand in a row, because formulas
// spell where they round once (`fused`) and the compiler may not choose.

// x[0], x[step], …, n of them, side by side: where they are, or in `block`.
template <class T>
MICA_INLINE const T* side_by_side(i64 n, const T* x, i64 step, T* block) {
  if (step == 1) return x;
  for (i64 i = 0; i < n; ++i) {
    asm volatile("");  // small code, as below
    block[i] = x[i * step];
  }
  return block;
}

// f(i, a's element, b's element) along a row, with the strides that occur most (fewer for f64) written out so that the loop
// becomes vector code. The loop of a long formula, and of a loss, whose operands are seldom broadcast, is written out once, for elements
// that are brought together before.
template <class Functor, class T, class F>
MICA_INLINE void along_row(i64 n, const T* a, i64 a_step, const T* b, i64 b_step, const F& f) {
  if constexpr (requires { Functor::long_formula; } || requires { Functor::averaged; }) {
    constexpr i64 most = 256;
    T a_block[most], b_block[most];
    for (i64 begin = 0; begin < n; begin += most) {
      const i64 count = n - begin < most ? n - begin : most;
      const T *va = side_by_side(count, a + begin * a_step, a_step, a_block), *vb = side_by_side(count, b + begin * b_step, b_step, b_block);
      for (i64 i = 0; i < count; ++i) f(begin + i, va[i], vb[i]);
    }
    return;
  }
  if (a_step == 1 && b_step == 1)
    for (i64 i = 0; i < n; ++i) f(i, a[i], b[i]);
  else if (a_step == 1 && b_step == 0)
    for (i64 i = 0; i < n; ++i) f(i, a[i], *b);
  else if (sizeof(T) == 4 && a_step == 0 && b_step == 1)
    for (i64 i = 0; i < n; ++i) f(i, *a, b[i]);
  else
    for (i64 i = 0; i < n; ++i) {
      asm volatile("");  // no vectors of elements gathered one by one: rare, little gain, and a third of all this code
      f(i, a[i * a_step], b[i * b_step]);
    }
}

template <class F, class T>
MICA_APART void forward_row(F f, i64 n, const T* a, i64 a_step, const T* b, i64 b_step, T* y) {
  along_row<F>(n, a, a_step, b, b_step, [=](i64 i, T va, T vb) MICA_LAMBDA_INLINE { y[i] = f.template forward<fused>(va, vb); });
}
template <class F, class T>
MICA_APART void grad_a_row(F f, i64 n, const T* a, i64 a_step, const T* b, i64 b_step, const T* gy, bool one_gy, T* ga) {
  if constexpr (requires { F::averaged; })
    if (one_gy) return along_row<F>(n, a, a_step, b, b_step, [=, g = *gy](i64 i, T va, T vb) MICA_LAMBDA_INLINE { ga[i] = f.template grad_a<fused>(va, vb, g); });
  along_row<F>(n, a, a_step, b, b_step, [=](i64 i, T va, T vb) MICA_LAMBDA_INLINE { ga[i] = f.template grad_a<fused>(va, vb, gy[i]); });
}
template <class F, class T>
MICA_APART void grad_b_row(F f, i64 n, const T* a, i64 a_step, const T* b, i64 b_step, const T* gy, bool one_gy, T* gb) {
  if constexpr (requires { F::averaged; })
    if (one_gy) return along_row<F>(n, a, a_step, b, b_step, [=, g = *gy](i64 i, T va, T vb) MICA_LAMBDA_INLINE { gb[i] = f.template grad_b<fused>(va, vb, g); });
  along_row<F>(n, a, a_step, b, b_step, [=](i64 i, T va, T vb) MICA_LAMBDA_INLINE { gb[i] = f.template grad_b<fused>(va, vb, gy[i]); });
}

template <class F, class T>
MICA_APART void forward_run(F f, i64 n, const T* x, T* y) {
  for (i64 i = 0; i < n; ++i) y[i] = f.template forward<fused>(x[i]);
}
template <class F, class T>
MICA_APART void grad_run(F f, i64 n, const T* kept, const T* gy, T* gx) {
  for (i64 i = 0; i < n; ++i) gx[i] = f.template grad<fused>(kept[i], gy[i]);
}
