#include <mica/kernels/cpu/lane_sum.h>
#include <mica/kernels/nll_loss.h>

namespace mica::kernels {
namespace {

i64 grain(const NllDims& d) { return 1 + 4096 / (d.smoothing > 0 ? d.classes + 1 : 4); }

template <class T> T weight_of(const T* weight, i64 c) { return weight ? weight[c] : T(1); }

// Σ w[t] over the lines that are not ignored.
template <class T>
double total_weight(const NllDims& d, const i64* target, const T* weight) {
  double total = 0;
  for (i64 line = 0; line < d.outer * d.inner; ++line)
    if (target[line] != d.ignore_index) total += static_cast<double>(weight_of(weight, target[line]));
  return total;
}

template <class T>
double line_loss(const NllDims& d, const T* y, i64 target, const T* weight) {
  if (target == d.ignore_index) return 0;
  const double loss = -static_cast<double>(weight_of(weight, target)) * static_cast<double>(y[target * d.inner]);
  if (d.smoothing == 0) return loss;
  if (!weight && d.inner == 1)
    return (1 - d.smoothing) * loss - d.smoothing / static_cast<double>(d.classes) * lane_sum(d.classes, [=](i64 c) { return y[c]; });
  double all = 0;
  for (i64 c = 0; c < d.classes; ++c) all -= static_cast<double>(weight_of(weight, c)) * static_cast<double>(y[c * d.inner]);
  return (1 - d.smoothing) * loss + d.smoothing / static_cast<double>(d.classes) * all;
}

}  // namespace

template <class T>
void nll_loss_forward(Cpu& cpu, const NllDims& d, const T* y, const i64* target, const T* weight, T* loss) {
  const i64 lines = d.outer * d.inner;
  double* single = cpu.scratch<double>(static_cast<std::size_t>(lines));
  parallel_for(cpu, lines, grain(d), [&](i64 begin, i64 end) {
    for (i64 line = begin; line < end; ++line)
      single[line] = line_loss(d, y + line / d.inner * d.classes * d.inner + line % d.inner, target[line], weight);
  });
  if (d.reduction == Reduction::none) {
    for (i64 line = 0; line < lines; ++line) loss[line] = static_cast<T>(single[line]);
    return;
  }
  double total = 0;
  for (i64 line = 0; line < lines; ++line) total += single[line];
  *loss = static_cast<T>(d.reduction == Reduction::mean ? total / total_weight(d, target, weight) : total);
}

template <class T>
void nll_loss_backward(Cpu& cpu, const NllDims& d, const i64* target, const T* weight, const T* gloss, T* gy) {
  const double by = d.reduction == Reduction::mean ? 1 / total_weight(d, target, weight) : 1;
  const double hard = 1 - d.smoothing, soft = d.smoothing / static_cast<double>(d.classes);
  parallel_for(cpu, d.outer * d.inner, 1 + 4096 / (d.classes + 1), [&](i64 begin, i64 end) {
    for (i64 line = begin; line < end; ++line) {
      T* to = gy + line / d.inner * d.classes * d.inner + line % d.inner;
      const i64 t = target[line];
      const bool ignored = t == d.ignore_index;
      const double g = -by * static_cast<double>(gloss[d.reduction == Reduction::none ? line : 0]);
      const T share = ignored || soft == 0 ? T(0) : static_cast<T>(g * soft);
      if (d.inner == 1 && (!weight || share == T(0))) std::fill(to, to + d.classes, share);
      else for (i64 c = 0; c < d.classes; ++c)
        to[c * d.inner] = ignored || soft == 0 ? T(0) : static_cast<T>(g * soft * static_cast<double>(weight_of(weight, c)));
      if (!ignored) to[t * d.inner] += static_cast<T>(g * hard * static_cast<double>(weight_of(weight, t)));
    }
  });
}

template <class T>
void count_correct(Cpu&, i64 n, i64 classes, const T* y, const i64* target, i64* correct) {
  *correct = 0;
  for (i64 i = 0; i < n; ++i) {
    const T* row = y + i * classes;
    i64 best = 0;
    for (i64 c = 1; c < classes; ++c)
      if (row[c] > row[best] || (row[c] != row[c] && row[best] == row[best])) best = c;  // a NaN wins, as in argmax
    *correct += best == target[i];
  }
}

#define MICA_FLOATING(T)                                                                               \
  template void nll_loss_forward(Cpu&, const NllDims&, const T*, const i64*, const T*, T*);            \
  template void nll_loss_backward(Cpu&, const NllDims&, const i64*, const T*, const T*, T*);           \
  template void count_correct(Cpu&, i64, i64, const T*, const i64*, i64*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
