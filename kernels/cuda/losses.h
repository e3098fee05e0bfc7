// From targets to one value: what the losses of classes and count_correct (answers.cu) share.
#pragma once

#include <mica/kernels/cuda/reduction.h>
#include <mica/kernels/loss_line.h>

namespace mica::kernels {

struct LossSums {
  double loss, weight;
};

// The sum or mean of all losses, and the total weight where that is wanted. Single: (line, target) → the loss of a line that counts.
template <class Single, class T>
struct TotalLoss {
  using Value = LossSums;
  static constexpr i64 least = 1024;
  NllDims d;
  Single single;
  const T* weight;
  double* total_weight;
  T* loss;

  MICA_DEVICE LossSums start() const { return {0, 0}; }
  MICA_DEVICE LossSums operator()(LossSums a, LossSums b) const { return {a.loss + b.loss, a.weight + b.weight}; }
  MICA_DEVICE LossSums add(LossSums sums, i64 target, unsigned line, unsigned) const {
    if (!counts(d, target)) return sums;
    return (*this)(sums, {single(line, target), weight_of(weight, target)});
  }
  MICA_DEVICE LossSums add(LossSums sums, LossSums other, unsigned, unsigned) const { return (*this)(sums, other); }
  MICA_DEVICE void finish(unsigned, LossSums sums) const {
    const bool mean = d.reduction == Reduction::mean;
    if (mean) *total_weight = sums.weight;
    *loss = static_cast<T>(mean ? sums.loss / sums.weight : sums.loss);
  }
};

// From all lines into one value.
template <class R>
void over_lines(Cuda& cuda, const char* name, i64 lines, const R& r, const i64* target) {
  Region all;
  all.push_back(lines, 1);
  reduce(cuda, name, Region{}, all, r, target);
}

}  // namespace mica::kernels
