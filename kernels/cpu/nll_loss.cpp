#include <mica/kernels/cpu/losses.h>
#include <mica/kernels/cpu/parallel.h>

#include <algorithm>

namespace mica::kernels {
namespace {

// Where y[c] of a line is.
i64 place(const NllDims& d, i64 line, i64 c) { return (line / d.inner * d.classes + c) * d.inner + line % d.inner; }

}  // namespace

template <class T>
void nll_loss_forward(Cpu& cpu, const NllDims& d, const T* y, const i64* target, const T* weight, double* total_weight, T* loss) {
  const i64 lines = d.outer * d.inner;
  double* single = cpu.scratch<double>(static_cast<std::size_t>(lines));
  parallel_for(cpu, lines, 1024, [&](i64 begin, i64 end) {
    for (i64 line = begin; line < end; ++line) {
      const i64 t = target[line];
      single[line] = counts(d, t) ? -weight_of(weight, t) * static_cast<double>(y[place(d, line, t)]) : 0;
    }
  });
  finish_losses(d, single, target, weight, total_weight, loss);
}

template <class T>
void nll_loss_backward(Cpu& cpu, const NllDims& d, const i64* target, const T* weight, const double* total_weight, const T* gloss, T* gy) {
  parallel_for(cpu, d.outer * d.inner, 1 + 4096 / (d.classes + 1), [&](i64 begin, i64 end) {
    for (i64 line = begin; line < end; ++line) {
      T* to = gy + place(d, line, 0);
      if (d.inner == 1) std::fill(to, to + d.classes, T(0));
      else for (i64 c = 0; c < d.classes; ++c) to[c * d.inner] = 0;
      const i64 t = target[line];
      if (counts(d, t)) to[t * d.inner] = static_cast<T>(negative_share(d, line, total_weight, gloss) * weight_of(weight, t));
    }
  });
}

#define MICA_FLOATING(T)                                                                                      \
  template void nll_loss_forward(Cpu&, const NllDims&, const T*, const i64*, const T*, double*, T*);          \
  template void nll_loss_backward(Cpu&, const NllDims&, const i64*, const T*, const double*, const T*, T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
