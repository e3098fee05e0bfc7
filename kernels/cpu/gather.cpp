#include <mica/kernels/cpu/walk.h>
#include <mica/kernels/gather.h>

#include <algorithm>

namespace mica::kernels {
namespace {

// f(x, index, y) at each line along the indexed dimension. Lines touch different elements of x, so threads may share them.
template <class F>
void for_each_line(Cpu& cpu, const GatherDims& d, const F& f) {
  const Walk<2> walk(d.rank, d.sizes, {d.x_strides, d.index_strides});
  const i64 x_step = walk.row_stride(0), index_step = walk.row_stride(1);
  for_each_row(cpu, walk, [&](const std::array<i64, 2>& at, i64 lines) {
    for (i64 line = 0; line < lines; ++line) f(at[0] + line * x_step, at[1] + line * index_step);
  }, d.length);
}

}  // namespace

template <class T>
void gather(Cpu& cpu, const GatherDims& d, const T* x, const i64* index, T* y) {
  for_each_line(cpu, d, [&](i64 x_at, i64 at) {
    for (i64 k = 0; k < d.length; ++k) y[at + k * d.index_step] = x[x_at + index[at + k * d.index_step] * d.x_step];
  });
}

template <class T>
void scatter_add(Cpu& cpu, const GatherDims& d, const i64* index, const T* y, T* x) {
  for_each_line(cpu, d, [&](i64 x_at, i64 at) {
    for (i64 k = 0; k < d.length; ++k) x[x_at + index[at + k * d.index_step] * d.x_step] += y[at + k * d.index_step];
  });
}

i64 first_out_of_range(Cpu&, i64 n, i64 size, std::optional<i64> allowed, const i64* values) {
  return std::find_if(values, values + n, [=](i64 v) { return (v < 0 || v >= size) && v != allowed; }) - values;
}

#define MICA_ELEMENT_TYPE(T) template void gather(Cpu&, const GatherDims&, const T*, const i64*, T*);
MICA_ELEMENT_TYPE(float)
MICA_ELEMENT_TYPE(double)
MICA_ELEMENT_TYPE(std::int64_t)
MICA_ELEMENT_TYPE(std::int32_t)
MICA_ELEMENT_TYPE(std::uint8_t)
template void scatter_add(Cpu&, const GatherDims&, const i64*, const float*, float*);
template void scatter_add(Cpu&, const GatherDims&, const i64*, const double*, double*);

}  // namespace mica::kernels
