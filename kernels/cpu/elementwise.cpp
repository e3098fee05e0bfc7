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

// f(i) for each element of a row, with the strides that occur most written out so that the loop becomes vector code.
template <class F>
MICA_INLINE void row(i64 length, i64 a_step, i64 b_step, const F& f) {
  if (a_step == 1 && b_step == 1)
    for (i64 i = 0; i < length; ++i) f(i, i, i);
  else if (a_step == 1 && b_step == 0)
    for (i64 i = 0; i < length; ++i) f(i, i, 0);
  else
    for (i64 i = 0; i < length; ++i) f(i, i * a_step, i * b_step);
}

}  // namespace

template <class F, class T>
void binary_forward(Cpu& cpu, int rank, const Sizes& sizes, const Sizes& a_strides, const T* a, const Sizes& b_strides,
                    const T* b, T* y) {
  const Walk<3> walk(rank, sizes, {a_strides, b_strides, dense_strides(rank, sizes)});
  walk.for_each_row(cpu, [&](const std::array<i64, 3>& at, i64 length) {
    row(length, walk.row_stride(0), walk.row_stride(1), [pa = a + at[0], pb = b + at[1], py = y + at[2]](i64 i, i64 ia, i64 ib) {
      py[i] = F::forward(pa[ia], pb[ib]);
    });
  });
}

template <class F, class T>
void binary_backward(Cpu& cpu, int rank, const Sizes& sizes, const Sizes& a_strides, const T* a, const Sizes& b_strides,
                     const T* b, const T* gy, T* ga, T* gb) {
  const Walk<3> walk(rank, sizes, {a_strides, b_strides, dense_strides(rank, sizes)});
  walk.for_each_row(cpu, [&](const std::array<i64, 3>& at, i64 length) {
    const T *pa = a + at[0], *pb = b + at[1], *pg = gy + at[2];
    const i64 a_step = walk.row_stride(0), b_step = walk.row_stride(1);
    if (ga) row(length, a_step, b_step, [=, to = ga + at[2]](i64 i, i64 ia, i64 ib) { to[i] = F::grad_a(pa[ia], pb[ib], pg[i]); });
    if (gb) row(length, a_step, b_step, [=, to = gb + at[2]](i64 i, i64 ia, i64 ib) { to[i] = F::grad_b(pa[ia], pb[ib], pg[i]); });
  });
}

template <class F, class T>
void unary_forward(Cpu& cpu, i64 n, const T* x, T* y) {
  parallel_for(cpu, n, grain, [&](i64 begin, i64 end) {
    for (i64 i = begin; i < end; ++i) y[i] = F::forward(x[i]);
  });
}

template <class F, class T>
void unary_backward(Cpu& cpu, i64 n, const T* y, const T* gy, T* gx) {
  parallel_for(cpu, n, grain, [&](i64 begin, i64 end) {
    for (i64 i = begin; i < end; ++i) gx[i] = F::grad(y[i], gy[i]);
  });
}

#define MICA_BINARY(F, T)                                                                                               \
  template void binary_forward<F>(Cpu&, int, const Sizes&, const Sizes&, const T*, const Sizes&, const T*, T*);         \
  template void binary_backward<F>(Cpu&, int, const Sizes&, const Sizes&, const T*, const Sizes&, const T*, const T*, T*, T*);
#define MICA_UNARY(F, T)                                   \
  template void unary_forward<F>(Cpu&, i64, const T*, T*); \
  template void unary_backward<F>(Cpu&, i64, const T*, const T*, T*);
#define MICA_FLOATING(T) \
  MICA_BINARY(Add, T) MICA_BINARY(Sub, T) MICA_BINARY(Mul, T) MICA_BINARY(Div, T) MICA_UNARY(Relu, T)
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
