#include <mica/kernels/cuda/reduction.h>
#include <mica/kernels/nll_loss.h>

namespace mica::kernels {
namespace {

template <class T>
MICA_DEVICE double weight_of(const T* weight, i64 c) {
  return weight ? static_cast<double>(weight[c]) : 1.0;
}

// Does a line count? Targets out of range do not, so that nothing is read out of bounds before their error is thrown.
MICA_DEVICE bool counts(const NllDims& d, i64 target) { return target != d.ignore_index && target >= 0 && target < d.classes; }

template <class T>
MICA_DEVICE double line_loss(const NllDims& d, unsigned line, i64 target, const T* y, const T* weight) {
  if (!counts(d, target)) return 0;
  const auto inner = static_cast<unsigned>(d.inner);
  y += line / inner * d.classes * inner + line % inner;
  const double loss = -weight_of(weight, target) * static_cast<double>(y[target * inner]);
  if (d.smoothing == 0) return loss;
  double all = 0;
  for (i64 c = 0; c < d.classes; ++c) all -= weight_of(weight, c) * static_cast<double>(y[c * inner]);
  return (1 - d.smoothing) * loss + d.smoothing / static_cast<double>(d.classes) * all;
}

struct Sums {
  double loss, weight;
};

// One loss from all targets.
template <class T>
struct TotalLoss {
  using Value = Sums;
  static constexpr i64 least = 1024;
  NllDims d;
  const T *y, *weight;
  T* loss;

  MICA_DEVICE Sums start() const { return {0, 0}; }
  MICA_DEVICE Sums operator()(Sums a, Sums b) const { return {a.loss + b.loss, a.weight + b.weight}; }
  MICA_DEVICE Sums add(Sums sums, i64 target, unsigned line, unsigned) const {
    return (*this)(sums, {line_loss(d, line, target, y, weight), counts(d, target) ? weight_of(weight, target) : 0.0});
  }
  MICA_DEVICE Sums add(Sums sums, Sums other, unsigned, unsigned) const { return (*this)(sums, other); }
  MICA_DEVICE void finish(unsigned, Sums sums) const {
    *loss = static_cast<T>(d.reduction == Reduction::mean ? sums.loss / sums.weight : sums.loss);
  }
};

template <class T>
struct TotalWeight {
  using Value = double;
  static constexpr i64 least = 4096;
  NllDims d;
  const T* weight;
  double* total;

  MICA_DEVICE double start() const { return 0; }
  MICA_DEVICE double operator()(double a, double b) const { return a + b; }
  MICA_DEVICE double add(double sum, i64 target, unsigned, unsigned) const { return sum + (counts(d, target) ? weight_of(weight, target) : 0.0); }
  MICA_DEVICE double add(double sum, double other, unsigned, unsigned) const { return sum + other; }
  MICA_DEVICE void finish(unsigned, double sum) const { *total = sum; }
};

template <class T>
struct Correct {
  using Value = unsigned;
  static constexpr i64 least = 1024;
  unsigned classes;
  const T* y;
  i64* correct;

  MICA_DEVICE unsigned start() const { return 0; }
  MICA_DEVICE unsigned operator()(unsigned a, unsigned b) const { return a + b; }
  MICA_DEVICE unsigned add(unsigned count, i64 target, unsigned line, unsigned) const {
    if (target < 0 || target >= classes) return count;
    const T* row = y + static_cast<i64>(line) * classes;
    T largest = row[0];
    unsigned best = 0;
    for (unsigned c = 1; c < classes; ++c) {
      const T v = row[c];
      if ((v > largest) | ((v != v) & (largest == largest))) largest = v, best = c;  // a NaN wins, as in argmax
    }
    return count + (best == target);
  }
  MICA_DEVICE unsigned add(unsigned count, unsigned other, unsigned, unsigned) const { return count + other; }
  MICA_DEVICE void finish(unsigned, unsigned count) const { *correct = count; }
};

// From all lines into one value.
template <class R>
void over_lines(Cuda& cuda, const char* name, i64 lines, const R& r, const i64* target) {
  Region all;
  all.push_back(lines, 1);
  reduce(cuda, name, Region{}, all, r, target);
}

template <class T>
__global__ void single_losses(unsigned lines, NllDims d, const T* y, const i64* target, const T* weight, T* loss) {
  for (unsigned line = first_item(); line < lines; line += item_step()) loss[line] = static_cast<T>(line_loss(d, line, target[line], y, weight));
}

// One thread for each element of gy: outer×classes×inner. total: null for 1.
template <class T>
__global__ void backward_kernel(unsigned n, NllDims d, Divider classes, Divider inner, const i64* target, const T* weight,
                                const double* total, const T* gloss, T* gy) {
  const double hard = 1 - d.smoothing, soft = d.smoothing / static_cast<double>(d.classes), by = total ? 1 / *total : 1;
  for (unsigned item = first_item(); item < n; item += item_step()) {
    const unsigned rest = inner.divide(item), outer = classes.divide(rest), c = rest - outer * classes.divisor;
    const unsigned line = outer * inner.divisor + item - rest * inner.divisor;
    const i64 t = target[line];
    T g = 0;
    if (counts(d, t)) {
      const double each = -by * static_cast<double>(gloss[d.reduction == Reduction::none ? line : 0]);
      if (soft != 0) g = static_cast<T>(each * soft * weight_of(weight, c));
      if (c == t) g += static_cast<T>(each * hard * weight_of(weight, t));
    }
    gy[item] = g;
  }
}

}  // namespace

template <class T>
void nll_loss_forward(Cuda& cuda, const NllDims& d, const T* y, const i64* target, const T* weight, T* loss) {
  const i64 lines = d.outer * d.inner;
  if (d.reduction != Reduction::none) return over_lines(cuda, "nll_loss_forward", lines, TotalLoss<T>{d, y, weight, loss}, target);
  if (lines > 0) launch(cuda, "nll_loss_forward", single_losses<T>, grid_for(cuda, lines), static_cast<unsigned>(lines), d, y, target, weight, loss);
}

template <class T>
void nll_loss_backward(Cuda& cuda, const NllDims& d, const i64* target, const T* weight, const T* gloss, T* gy) {
  const i64 n = d.outer * d.classes * d.inner;
  if (n == 0) return;
  const bool mean = d.reduction == Reduction::mean;
  const auto total = cuda.scratch<double>(1);
  if (mean) over_lines(cuda, "nll_loss_backward", d.outer * d.inner, TotalWeight<T>{d, weight, total.get()}, target);
  launch(cuda, "nll_loss_backward", backward_kernel<T>, grid_for(cuda, n), static_cast<unsigned>(n), d, Divider(d.classes), Divider(d.inner),
         target, weight, mean ? total.get() : nullptr, gloss, gy);
}

template <class T>
void count_correct(Cuda& cuda, i64 n, i64 classes, const T* y, const i64* target, i64* correct) {
  over_lines(cuda, "count_correct", n, Correct<T>{static_cast<unsigned>(classes), y, correct}, target);
}

#define MICA_FLOATING(T)                                                                       \
  template void nll_loss_forward(Cuda&, const NllDims&, const T*, const i64*, const T*, T*);   \
  template void nll_loss_backward(Cuda&, const NllDims&, const i64*, const T*, const T*, T*);  \
  template void count_correct(Cuda&, i64, i64, const T*, const i64*, i64*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
