// The negative log-likelihood of classes, with class weights w, an ignored target and label smoothing ε. For a line of
// log-probabilities y[c] and its target t, which is a class or ignore_index:
//   loss = (1 − ε)·(−w[t]·y[t]) + ε/classes·Σ_c −w[c]·y[c],   0 where ignored
// All of them, their sum, or their mean: the sum over Σ w[t] of the lines that are not ignored. Sums in f64, in line order.
#pragma once

#include <mica/kernels/context.h>
#include <mica/kernels/dims.h>

namespace mica::kernels {

enum class Reduction { mean, sum, none };

struct NllDims {
  i64 outer, classes, inner;  // y: outer×classes×inner; target and single losses: outer×inner
  i64 ignore_index;
  double smoothing;
  Reduction reduction;
};

// weight: (classes) or null. loss: one value, or one a line. Targets are in range (on CUDA others count as ignored).
template <class T>
void nll_loss_forward(Cpu& cpu, const NllDims& d, const T* y, const i64* target, const T* weight, T* loss);
template <class T>
void nll_loss_forward(Cuda& cuda, const NllDims& d, const T* y, const i64* target, const T* weight, T* loss);
template <class T>
void nll_loss_backward(Cpu& cpu, const NllDims& d, const i64* target, const T* weight, const T* gloss, T* gy);
template <class T>
void nll_loss_backward(Cuda& cuda, const NllDims& d, const i64* target, const T* weight, const T* gloss, T* gy);

// *correct = how many rows of y (n×classes) have their first largest value at target[n].
template <class T> void count_correct(Cpu& cpu, i64 n, i64 classes, const T* y, const i64* target, i64* correct);
template <class T> void count_correct(Cuda& cuda, i64 n, i64 classes, const T* y, const i64* target, i64* correct);

}  // namespace mica::kernels
