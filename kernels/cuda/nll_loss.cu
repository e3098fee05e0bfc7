#include <mica/kernels/cuda/losses.h>

namespace mica::kernels {
namespace {

template <class T>
struct Single {
  NllDims d;
  const T *y, *weight;

  MICA_DEVICE double operator()(unsigned line, i64 target) const {
    const auto inner = static_cast<unsigned>(d.inner);
    return -weight_of(weight, target) * static_cast<double>(y[(line / inner * d.classes + target) * inner + line % inner]);
  }
};

template <class T>
__global__ void single_losses(unsigned lines, Single<T> single, const i64* target, T* loss) {
  for (unsigned line = first_item(); line < lines; line += item_step())
    loss[line] = counts(single.d, target[line]) ? static_cast<T>(single(line, target[line])) : T(0);
}

// One thread for each element of gy: outer×classes×inner.
template <class T>
__global__ void backward_kernel(unsigned n, NllDims d, Divider classes, Divider inner, const i64* target, const T* weight,
                                const double* total_weight, const T* gloss, T* gy) {
  for (unsigned item = first_item(); item < n; item += item_step()) {
    const unsigned rest = inner.divide(item), outer = classes.divide(rest), c = rest - outer * classes.divisor;
    const unsigned line = outer * inner.divisor + item - rest * inner.divisor;
    const i64 t = target[line];
    gy[item] = c == t && counts(d, t) ? static_cast<T>(negative_share(d, line, total_weight, gloss) * weight_of(weight, t)) : T(0);
  }
}

}  // namespace

template <class T>
void nll_loss_forward(Cuda& cuda, const NllDims& d, const T* y, const i64* target, const T* weight, double* total_weight, T* loss) {
  const i64 lines = d.outer * d.inner;
  const Single<T> single{d, y, weight};
  if (d.reduction != Reduction::none)
    return over_lines(cuda, "nll_loss_forward", lines, TotalLoss<Single<T>, T>{d, single, weight, total_weight, loss}, target);
  if (lines > 0) launch(cuda, "nll_loss_forward", single_losses<T>, grid_for(cuda, lines), static_cast<unsigned>(lines), single, target, loss);
}

template <class T>
void nll_loss_backward(Cuda& cuda, const NllDims& d, const i64* target, const T* weight, const double* total_weight, const T* gloss, T* gy) {
  const i64 n = d.outer * d.classes * d.inner;
  if (n == 0) return;
  launch(cuda, "nll_loss_backward", backward_kernel<T>, grid_for(cuda, n), static_cast<unsigned>(n), d, Divider(d.classes), Divider(d.inner),
         target, weight, total_weight, gloss, gy);
}

#define MICA_FLOATING(T)                                                                                      \
  template void nll_loss_forward(Cuda&, const NllDims&, const T*, const i64*, const T*, double*, T*);         \
  template void nll_loss_backward(Cuda&, const NllDims&, const i64*, const T*, const double*, const T*, T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
