#include <mica/kernels/cpu/walk.h>
#include <mica/kernels/elementwise.h>

namespace mica::kernels {
namespace {

constexpr i64 grain = 16384;  // elements that are worth a thread

Sizes dense_strides(int rank, const Sizes& sizes) {
  Sizes strides{};
  i64 stride = 1;
  for (int dim = rank - 1; dim >= 0; stride *= sizes[static_cast<std::size_t>(dim--)])
    strides[static_cast<std::size_t>(dim)] = stride;
  return strides;
}

// f(i, a's element, b's element) along a row, with the strides that occur most written out so that the loop becomes
// vector code.
template <class T, class F>
MICA_INLINE void along_row(i64 n, const T* a, i64 a_step, const T* b, i64 b_step, const F& f) {
  if (a_step == 1 && b_step == 1)
    for (i64 i = 0; i < n; ++i) f(i, a[i], b[i]);
  else if (a_step == 1 && b_step == 0)
    for (i64 i = 0; i < n; ++i) f(i, a[i], *b);
  else if (a_step == 0 && b_step == 1)
    for (i64 i = 0; i < n; ++i) f(i, *a, b[i]);
  else
    for (i64 i = 0; i < n; ++i) f(i, a[i * a_step], b[i * b_step]);
}
#define MICA_LAMBDA_INLINE __attribute__((always_inline))

template <class F, class T>
MICA_INLINE void forward_loop(F f, i64 n, const T* a, i64 a_step, const T* b, i64 b_step, T* y) {
  along_row(n, a, a_step, b, b_step, [=](i64 i, T va, T vb) MICA_LAMBDA_INLINE { y[i] = f.forward(va, vb); });
}
template <class F, class T>
MICA_INLINE void grad_a_loop(F f, i64 n, const T* a, i64 a_step, const T* b, i64 b_step, const T* gy, bool one_gy, T* ga) {
  if (one_gy) along_row(n, a, a_step, b, b_step, [=, g = *gy](i64 i, T va, T vb) MICA_LAMBDA_INLINE { ga[i] = f.grad_a(va, vb, g); });
  else along_row(n, a, a_step, b, b_step, [=](i64 i, T va, T vb) MICA_LAMBDA_INLINE { ga[i] = f.grad_a(va, vb, gy[i]); });
}
template <class F, class T>
MICA_INLINE void grad_b_loop(F f, i64 n, const T* a, i64 a_step, const T* b, i64 b_step, const T* gy, bool one_gy, T* gb) {
  if (one_gy) along_row(n, a, a_step, b, b_step, [=, g = *gy](i64 i, T va, T vb) MICA_LAMBDA_INLINE { gb[i] = f.grad_b(va, vb, g); });
  else along_row(n, a, a_step, b, b_step, [=](i64 i, T va, T vb) MICA_LAMBDA_INLINE { gb[i] = f.grad_b(va, vb, gy[i]); });
}

// The loops as plain functions, one overload a functor, because only those can be compiled for several instruction sets
// (HOT); f64 is for checking, and is compiled once.
#define MICA_BINARY(HOT, F, T)                                                                                            \
  HOT void forward_row(F f, i64 n, const T* a, i64 a_step, const T* b, i64 b_step, T* y) {                                \
    forward_loop(f, n, a, a_step, b, b_step, y);                                                                          \
  }                                                                                                                       \
  HOT void grad_a_row(F f, i64 n, const T* a, i64 a_step, const T* b, i64 b_step, const T* gy, bool one_gy, T* ga) {      \
    grad_a_loop(f, n, a, a_step, b, b_step, gy, one_gy, ga);                                                              \
  }                                                                                                                       \
  HOT void grad_b_row(F f, i64 n, const T* a, i64 a_step, const T* b, i64 b_step, const T* gy, bool one_gy, T* gb) {      \
    grad_b_loop(f, n, a, a_step, b, b_step, gy, one_gy, gb);                                                              \
  }
#define MICA_UNARY(HOT, F, T)                                     \
  HOT void forward_run(F f, i64 n, const T* x, T* y) {            \
    for (i64 i = 0; i < n; ++i) y[i] = f.forward(x[i]);           \
  }                                                               \
  HOT void grad_run(F f, i64 n, const T* kept, const T* gy, T* gx) { \
    for (i64 i = 0; i < n; ++i) gx[i] = f.grad(kept[i], gy[i]);   \
  }
#define MICA_EACH_FUNCTOR(BINARY, UNARY, HOT, T)                                                                        \
  BINARY(HOT, Add, T) BINARY(HOT, Sub, T) BINARY(HOT, Mul, T) BINARY(HOT, Div, T) BINARY(HOT, Pow, T)                   \
  BINARY(HOT, SquaredError, T) BINARY(HOT, AbsoluteError, T) BINARY(HOT, Huber, T)                                      \
  UNARY(HOT, Relu, T) UNARY(HOT, LeakyRelu, T) UNARY(HOT, Exp, T) UNARY(HOT, Log, T) UNARY(HOT, Sqrt, T)                \
  UNARY(HOT, Sigmoid, T) UNARY(HOT, Tanh, T) UNARY(HOT, Gelu, T) UNARY(HOT, GeluTanh, T) UNARY(HOT, Clamp, T)           \
  UNARY(HOT, Square, T) UNARY(HOT, PowScalar, T)
MICA_EACH_FUNCTOR(MICA_BINARY, MICA_UNARY, MICA_HOT, float)
MICA_EACH_FUNCTOR(MICA_BINARY, MICA_UNARY, , double)

}  // namespace

template <class F, class T>
void binary_forward(Cpu& cpu, const F& f, int rank, const Sizes& sizes, const Sizes& a_strides, const T* a,
                    const Sizes& b_strides, const T* b, T* y) {
  const Walk<3> walk(rank, sizes, {a_strides, b_strides, dense_strides(rank, sizes)});
  walk.for_each_row(cpu, [&](const std::array<i64, 3>& at, i64 length) {
    forward_row(f, length, a + at[0], walk.row_stride(0), b + at[1], walk.row_stride(1), y + at[2]);
  });
}

template <class F, class T>
void binary_backward(Cpu& cpu, const F& f, int rank, const Sizes& sizes, const Sizes& a_strides, const T* a,
                     const Sizes& b_strides, const T* b, bool one_gy, const T* gy, T* ga, T* gb) {
  const Walk<3> walk(rank, sizes, {a_strides, b_strides, dense_strides(rank, sizes)});
  walk.for_each_row(cpu, [&](const std::array<i64, 3>& at, i64 length) {
    const T *pa = a + at[0], *pb = b + at[1], *pg = one_gy ? gy : gy + at[2];
    const i64 a_step = walk.row_stride(0), b_step = walk.row_stride(1);
    if (ga) grad_a_row(f, length, pa, a_step, pb, b_step, pg, one_gy, ga + at[2]);
    if (gb) grad_b_row(f, length, pa, a_step, pb, b_step, pg, one_gy, gb + at[2]);
  });
}

template <class F, class T>
void unary_forward(Cpu& cpu, const F& f, i64 n, const T* x, T* y) {
  parallel_for(cpu, n, grain, [&](i64 begin, i64 end) { forward_run(f, end - begin, x + begin, y + begin); });
}

template <class F, class T>
void unary_backward(Cpu& cpu, const F& f, i64 n, const T* kept, const T* gy, T* gx) {
  parallel_for(cpu, n, grain, [&](i64 begin, i64 end) { grad_run(f, end - begin, kept + begin, gy + begin, gx + begin); });
}

#define MICA_INSTANTIATE_BINARY(HOT, F, T)                                                                             \
  template void binary_forward(Cpu&, const F&, int, const Sizes&, const Sizes&, const T*, const Sizes&, const T*, T*); \
  template void binary_backward(Cpu&, const F&, int, const Sizes&, const Sizes&, const T*, const Sizes&, const T*,     \
                                bool, const T*, T*, T*);
#define MICA_INSTANTIATE_UNARY(HOT, F, T)                           \
  template void unary_forward(Cpu&, const F&, i64, const T*, T*);   \
  template void unary_backward(Cpu&, const F&, i64, const T*, const T*, T*);
MICA_EACH_FUNCTOR(MICA_INSTANTIATE_BINARY, MICA_INSTANTIATE_UNARY, , float)
MICA_EACH_FUNCTOR(MICA_INSTANTIATE_BINARY, MICA_INSTANTIATE_UNARY, , double)

}  // namespace mica::kernels
