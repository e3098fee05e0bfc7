#include <mica/kernels/cpu/walk.h>
#include <mica/kernels/reduce.h>

namespace mica::kernels {
namespace {

// Σ of positions [begin, end) of the region that starts at x.
template <class T>
double sum_range(const Walk<1>& region, const T* x, i64 begin, i64 end) {
  const i64 length = region.row_length(), step = region.row_stride(0);
  double total = 0;
  for (i64 at = begin; at < end;) {
    const i64 column = at % length, count = std::min(length - column, end - at);
    const T* from = x + region.row_offset(0, at / length) + column * step;
    for (i64 i = 0; i < count; ++i) total += static_cast<double>(from[i * step]);
    at += count;
  }
  return total;
}

}  // namespace

template <class T>
void sum(Cpu& cpu, const Region& kept, const Region& reduced, double scale, const T* x, T* y) {
  constexpr i64 piece = 16384;  // elements summed by one thread in one go
  const Walk<1> outputs(kept.rank, kept.sizes, {kept.strides}), inputs(reduced.rank, reduced.sizes, {reduced.strides});
  const i64 count = outputs.rows() * outputs.row_length(), length = inputs.rows() * inputs.row_length();
  const i64 pieces = std::max<i64>(1, length / piece);
  double* partial = cpu.scratch<double>(static_cast<std::size_t>(count * pieces));  // count×pieces
  parallel_for(cpu, count * pieces, 1 + piece / (length / pieces + 1), [&](i64 begin, i64 end) {
    for (i64 i = begin; i < end; ++i) {
      const i64 output = i / pieces, p = i % pieces;
      const i64 offset = outputs.row_offset(0, output / outputs.row_length()) +
                         output % outputs.row_length() * outputs.row_stride(0);
      partial[i] = sum_range(inputs, x + offset, length * p / pieces, length * (p + 1) / pieces);
    }
  });
  for (i64 output = 0; output < count; ++output) {
    double total = 0;
    for (i64 p = 0; p < pieces; ++p) total += partial[output * pieces + p];
    y[output] = static_cast<T>(scale * total);
  }
}

template void sum(Cpu&, const Region&, const Region&, double, const float*, float*);
template void sum(Cpu&, const Region&, const Region&, double, const double*, double*);

}  // namespace mica::kernels
