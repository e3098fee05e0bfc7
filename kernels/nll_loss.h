// The negative log-likelihood of classes, with class weights w and an ignored target. For a line of log-probabilities y[c] and
// its target t, which is a class or ignore_index:
//   loss = −w[t]·y[t],   gy[c] = −gloss·w[t] where c = t and 0 elsewhere;   0 where ignored
// All of them, their sum, or their mean: the sum over Σ w[t] of the lines that are not ignored. Sums in f64, on the CPU in line
// order.
#pragma once

#include <mica/kernels/context.h>
#include <mica/kernels/dims.h>

namespace mica::kernels {

enum class Reduction { mean, sum, none };

struct NllDims {
  i64 outer, classes, inner;  // y: outer×classes×inner; target and single losses: outer×inner
  i64 ignore_index;
  Reduction reduction;
};

// weight: (classes) or null. total_weight: one value, Σ w[t], which forward writes and backward reads where the loss is the mean;
// null otherwise. loss: one value, or one a line. Targets are in range (on CUDA others count as ignored).
template <class T>
void nll_loss_forward(Cpu& cpu, const NllDims& d, const T* y, const i64* target, const T* weight, double* total_weight, T* loss);
template <class T>
void nll_loss_forward(Cuda& cuda, const NllDims& d, const T* y, const i64* target, const T* weight, double* total_weight, T* loss);
template <class T>
void nll_loss_backward(Cpu& cpu, const NllDims& d, const i64* target, const T* weight, const double* total_weight, const T* gloss, T* gy);
template <class T>
void nll_loss_backward(Cuda& cuda, const NllDims& d, const i64* target, const T* weight, const double* total_weight, const T* gloss, T* gy);

}  // namespace mica::kernels
