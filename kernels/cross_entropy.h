// Cross-entropy with classes: the likelihood loss (kernels/nll_loss.h) of the log-softmax (kernels/softmax.h), with label
// smoothing ε, in one kernel each way. For a line of scores x and its target t, a class or ignore_index:
//   m = max x,   L = log Σ exp(x − m),   y[c] = x[c] − m − L
//   loss  = −(1 − ε)·w[t]·y[t] − ε/classes·Σ w[c]·y[c]                                           0 where ignored
//   gy[c] = −gloss·ε/classes·w[c], and −gloss·(1 − ε)·w[t] more where c = t;   gx[c] = gy[c] − exp(y[c])·Σ gy
// y and gy are rounded as the two ops would round them, and so is Σ gy without smoothing; with it, it is the formula's. A line with
// a NaN or +∞ score, or with none above −∞, has NaN gradients, also where it is ignored, as PyTorch's has. Of outer×classes×inner nothing but gx is written: backward makes y again.
#pragma once

#include <mica/kernels/nll_loss.h>

namespace mica::kernels {

// One call: where x and the rest lie. Sizes and reductions are as nll_loss's. smoothing: ε, 0 to 1.
template <class T>
struct CrossEntropy {
  NllDims d;
  double smoothing;
  const T* x;         // outer×classes×inner
  const i64* target;  // outer×inner
  const T* weight;    // (classes) or null
};

// kept: 2×lines, all m and then all L, and total_weight as nll_loss's, are what backward reads again.
template <class T> void cross_entropy_forward(Cpu& cpu, const CrossEntropy<T>& call, T* kept, double* total_weight, T* loss);
template <class T> void cross_entropy_forward(Cuda& cuda, const CrossEntropy<T>& call, T* kept, double* total_weight, T* loss);
template <class T>
void cross_entropy_backward(Cpu& cpu, const CrossEntropy<T>& call, const T* kept, const double* total_weight, const T* gloss, T* gx);
template <class T>
void cross_entropy_backward(Cuda& cuda, const CrossEntropy<T>& call, const T* kept, const double* total_weight, const T* gloss, T* gx);

}  // namespace mica::kernels
