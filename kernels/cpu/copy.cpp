#include <mica/kernels/copy.h>
#include <mica/kernels/cpu/walk.h>

namespace mica::kernels {

constexpr i64 grain = 16384;  // elements that are worth a thread

template <class T>
void fill(Cpu& cpu, i64 n, T value, T* y) {
  parallel_for(cpu, n, grain, [&](i64 begin, i64 end) { std::fill(y + begin, y + end, value); });
}

template <class From, class To>
void convert(Cpu& cpu, i64 n, const From* x, To* y) {
  parallel_for(cpu, n, grain, [&](i64 begin, i64 end) {
    for (i64 i = begin; i < end; ++i) y[i] = static_cast<To>(x[i]);
  });
}

template <class T>
void strided_copy(Cpu& cpu, int rank, const Sizes& sizes, const Sizes& x_strides, const T* x, const Sizes& y_strides, T* y) {
  const Walk<2> walk(rank, sizes, {x_strides, y_strides});
  const i64 x_step = walk.row_stride(0), y_step = walk.row_stride(1);
  walk.for_each_row(cpu, [&](const std::array<i64, 2>& at, i64 length) {
    const T* from = x + at[0];
    T* to = y + at[1];
    for (i64 i = 0; i < length; ++i) to[i * y_step] = from[i * x_step];
  });
}

#define MICA_CONVERT(From)                                            \
  template void convert(Cpu&, i64, const From*, float*);              \
  template void convert(Cpu&, i64, const From*, double*);             \
  template void convert(Cpu&, i64, const From*, std::int64_t*);       \
  template void convert(Cpu&, i64, const From*, std::int32_t*);       \
  template void convert(Cpu&, i64, const From*, std::uint8_t*);
#define MICA_ELEMENT_TYPE(T)                \
  template void fill(Cpu&, i64, T, T*);     \
  template void strided_copy(Cpu&, int, const Sizes&, const Sizes&, const T*, const Sizes&, T*); \
  MICA_CONVERT(T)
MICA_ELEMENT_TYPE(float)
MICA_ELEMENT_TYPE(double)
MICA_ELEMENT_TYPE(std::int64_t)
MICA_ELEMENT_TYPE(std::int32_t)
MICA_ELEMENT_TYPE(std::uint8_t)

}  // namespace mica::kernels
