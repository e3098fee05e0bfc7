// The loops of elementwise ops, for any functor of kernels/functors.h. Included by each_instruction_set.h, for which it
// has no include guard and no namespace.
//
// A row goes by blocks of sixteen elements, and what is left over, or does not lie side by side, is gathered into a block
// first: so there is one piece of vector code for all elements, and equal elements give equal results wherever they stand
// and however threads share the row.

inline constexpr i64 lanes = 16;

// A row of an operand, which step 1 reads in place, step 0 once.
template <class T>
struct Operand {
  const T* row;
  i64 step;
  T held[lanes];

  Operand(const T* p, i64 by) : row(p), step(by) {
    if (step == 0) std::fill(held, held + lanes, *row);
  }
  // Elements [i, i + count), and any others up to `lanes`.
  MICA_INLINE const T* at(i64 i, i64 count) {
    if (step == 0) return held;
    if (step == 1 && count == lanes) return row + i;
    for (i64 k = 0; k < lanes; ++k) held[k] = row[(i + (k < count ? k : 0)) * step];
    return held;
  }
};

// y[i] = f(inputs' elements at i…)
template <class T, class F, class... Inputs>
MICA_INLINE void by_blocks(i64 n, T* y, const F& f, Inputs... inputs) {
  T last[lanes];
  for (i64 i = 0; i < n; i += lanes) {
    const i64 count = n - i < lanes ? n - i : lanes;
    T* out = count == lanes ? y + i : last;
    [&](auto... in) MICA_LAMBDA_INLINE {
#pragma GCC ivdep
      for (i64 k = 0; k < lanes; ++k) out[k] = f(in[k]...);
    }(inputs.at(i, count)...);
    if (count < lanes) std::copy(last, last + count, y + i);
  }
}

template <class F, class T>
MICA_APART void forward_row(F f, i64 n, const T* a, i64 a_step, const T* b, i64 b_step, T* y) {
  by_blocks(n, y, [=](T va, T vb) MICA_LAMBDA_INLINE { return f.forward(va, vb); }, Operand<T>(a, a_step), Operand<T>(b, b_step));
}
template <class F, class T>
MICA_APART void grad_a_row(F f, i64 n, const T* a, i64 a_step, const T* b, i64 b_step, const T* gy, bool one_gy, T* ga) {
  by_blocks(n, ga, [=](T va, T vb, T g) MICA_LAMBDA_INLINE { return f.grad_a(va, vb, g); }, Operand<T>(a, a_step), Operand<T>(b, b_step),
            Operand<T>(gy, one_gy ? 0 : 1));
}
template <class F, class T>
MICA_APART void grad_b_row(F f, i64 n, const T* a, i64 a_step, const T* b, i64 b_step, const T* gy, bool one_gy, T* gb) {
  by_blocks(n, gb, [=](T va, T vb, T g) MICA_LAMBDA_INLINE { return f.grad_b(va, vb, g); }, Operand<T>(a, a_step), Operand<T>(b, b_step),
            Operand<T>(gy, one_gy ? 0 : 1));
}

template <class F, class T>
MICA_APART void forward_run(F f, i64 n, const T* x, T* y) {
  by_blocks(n, y, [=](T v) MICA_LAMBDA_INLINE { return f.forward(v); }, Operand<T>(x, 1));
}
template <class F, class T>
MICA_APART void grad_run(F f, i64 n, const T* kept, const T* gy, T* gx) {
  by_blocks(n, gx, [=](T v, T g) MICA_LAMBDA_INLINE { return f.grad(v, g); }, Operand<T>(kept, 1), Operand<T>(gy, 1));
}
