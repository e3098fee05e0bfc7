#include <mica/kernels/cpu/walk.h>
#include <mica/kernels/elementwise.h>

#define MICA_APART __attribute__((noinline))  // or every caller would hold a copy of each portable loop
#define MICA_KERNELS <mica/kernels/cpu/elementwise_loops.h>
#include <mica/kernels/cpu/each_instruction_set.h>

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

}  // namespace

template <class F, class T>
void binary_forward(Cpu& cpu, const F& f, int rank, const Sizes& sizes, const Sizes& a_strides, const T* a,
                    const Sizes& b_strides, const T* b, T* y) {
  const Walk<3> walk(rank, sizes, {a_strides, b_strides, dense_strides(rank, sizes)});
  for_each_row(cpu, walk, [&](const std::array<i64, 3>& at, i64 length) {
    MICA_CALL_FOR(T, forward_row, f, length, a + at[0], walk.row_stride(0), b + at[1], walk.row_stride(1), y + at[2]);
  });
}

template <class F, class T>
void binary_backward(Cpu& cpu, const F& f, int rank, const Sizes& sizes, const Sizes& a_strides, const T* a,
                     const Sizes& b_strides, const T* b, bool one_gy, const T* gy, T* ga, T* gb) {
  const Walk<3> walk(rank, sizes, {a_strides, b_strides, dense_strides(rank, sizes)});
  for_each_row(cpu, walk, [&](const std::array<i64, 3>& at, i64 length) {
    const T *pa = a + at[0], *pb = b + at[1], *pg = one_gy ? gy : gy + at[2];
    const i64 a_step = walk.row_stride(0), b_step = walk.row_stride(1);
    if (ga) MICA_CALL_FOR(T, grad_a_row, f, length, pa, a_step, pb, b_step, pg, one_gy, ga + at[2]);
    if (gb) MICA_CALL_FOR(T, grad_b_row, f, length, pa, a_step, pb, b_step, pg, one_gy, gb + at[2]);
  });
}

template <class F, class T>
void unary_forward(Cpu& cpu, const F& f, i64 n, const T* x, T* y) {
  parallel_for(cpu, n, grain, [&](i64 begin, i64 end) { MICA_CALL_FOR(T, forward_run, f, end - begin, x + begin, y + begin); });
}

template <class F, class T>
void unary_backward(Cpu& cpu, const F& f, i64 n, const T* kept, const T* gy, T* gx) {
  parallel_for(cpu, n, grain, [&](i64 begin, i64 end) { MICA_CALL_FOR(T, grad_run, f, end - begin, kept + begin, gy + begin, gx + begin); });
}

#define MICA_BINARY(F, T)                                                                                              \
  template void binary_forward(Cpu&, const F&, int, const Sizes&, const Sizes&, const T*, const Sizes&, const T*, T*); \
  template void binary_backward(Cpu&, const F&, int, const Sizes&, const Sizes&, const T*, const Sizes&, const T*,     \
                                bool, const T*, T*, T*);
#define MICA_UNARY(F, T)                                            \
  template void unary_forward(Cpu&, const F&, i64, const T*, T*);   \
  template void unary_backward(Cpu&, const F&, i64, const T*, const T*, T*);
#define MICA_FLOATING(T) MICA_EVERY_BINARY(MICA_BINARY, T) MICA_EVERY_UNARY(MICA_UNARY, T)
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
