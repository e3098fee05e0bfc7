#include <mica/kernels/cpu/parallel.h>
#include <mica/kernels/softmax.h>

#include <cmath>

namespace mica::kernels {
namespace {

i64 grain(i64 length) { return 1 + 1024 / (length + 1); }

}  // namespace

template <class T>
void log_softmax_forward(Cpu& cpu, i64 outer, i64 length, i64 inner, const T* x, T* y) {
  parallel_for(cpu, outer * inner, grain(length), [&](i64 begin, i64 end) {
    for (i64 line = begin; line < end; ++line) {
      const i64 at = line / inner * length * inner + line % inner;
      T largest = x[at];
      for (i64 k = 1; k < length; ++k) largest = std::max(largest, x[at + k * inner]);
      double total = 0;
      for (i64 k = 0; k < length; ++k) total += std::exp(static_cast<double>(x[at + k * inner] - largest));
      const T log_total = static_cast<T>(std::log(total));
      for (i64 k = 0; k < length; ++k) y[at + k * inner] = x[at + k * inner] - largest - log_total;
    }
  });
}

template <class T>
void log_softmax_backward(Cpu& cpu, i64 outer, i64 length, i64 inner, const T* y, const T* gy, T* gx) {
  parallel_for(cpu, outer * inner, grain(length), [&](i64 begin, i64 end) {
    for (i64 line = begin; line < end; ++line) {
      const i64 at = line / inner * length * inner + line % inner;
      double total = 0;
      for (i64 k = 0; k < length; ++k) total += static_cast<double>(gy[at + k * inner]);
      for (i64 k = 0; k < length; ++k) {
        const i64 i = at + k * inner;
        gx[i] = gy[i] - std::exp(y[i]) * static_cast<T>(total);
      }
    }
  });
}

template <class T>
void nll_loss_forward(Cpu&, i64 n, i64 classes, const T* y, const i64* target, T* loss) {
  double total = 0;
  for (i64 i = 0; i < n; ++i) total -= static_cast<double>(y[i * classes + target[i]]);
  *loss = static_cast<T>(total / static_cast<double>(n));  // NaN for an empty batch, as in PyTorch
}

template <class T>
void nll_loss_backward(Cpu&, i64 n, i64 classes, const i64* target, const T* gloss, T* gy) {
  std::fill(gy, gy + n * classes, T(0));
  for (i64 i = 0; i < n; ++i) gy[i * classes + target[i]] = -*gloss / static_cast<T>(n);
}

i64 first_bad_target(Cpu&, i64 n, i64 classes, const i64* target) {
  return std::find_if(target, target + n, [=](i64 t) { return t < 0 || t >= classes; }) - target;
}

template <class T>
i64 count_correct(Cpu&, i64 n, i64 classes, const T* y, const i64* target) {
  i64 correct = 0;
  for (i64 i = 0; i < n; ++i) correct += std::max_element(y + i * classes, y + (i + 1) * classes) - (y + i * classes) == target[i];
  return correct;
}

#define MICA_FLOATING(T)                                                                    \
  template void log_softmax_forward(Cpu&, i64, i64, i64, const T*, T*);                     \
  template void log_softmax_backward(Cpu&, i64, i64, i64, const T*, const T*, T*);          \
  template void nll_loss_forward(Cpu&, i64, i64, const T*, const i64*, T*);                 \
  template void nll_loss_backward(Cpu&, i64, i64, const i64*, const T*, T*);                \
  template i64 count_correct(Cpu&, i64, i64, const T*, const i64*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
