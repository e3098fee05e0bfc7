// Log-softmax along one dimension, and the negative log-likelihood on its result. f32 and f64, sums in f64.
//   y = x − m − log Σ exp(x − m), m = max x;   gx = gy − exp(y) · Σ gy
//   nll = −1/N · Σ_n y[n, target[n]]
#pragma once

#include <mica/kernels/cpu/context.h>
#include <mica/kernels/dims.h>

namespace mica::kernels {

// x, y, gy, gx: outer×length×inner, along the middle.
template <class T> void log_softmax_forward(Cpu& cpu, i64 outer, i64 length, i64 inner, const T* x, T* y);
template <class T>
void log_softmax_backward(Cpu& cpu, i64 outer, i64 length, i64 inner, const T* y, const T* gy, T* gx);

// y: n×classes log-probabilities, target[n] in [0, classes), loss: one value.
template <class T> void nll_loss_forward(Cpu& cpu, i64 n, i64 classes, const T* y, const i64* target, T* loss);
template <class T> void nll_loss_backward(Cpu& cpu, i64 n, i64 classes, const i64* target, const T* gloss, T* gy);

// The first target outside [0, classes), or n.
i64 first_bad_target(Cpu& cpu, i64 n, i64 classes, const i64* target);

// How many rows of y (n×classes) have their first largest value at target[n].
template <class T> i64 count_correct(Cpu& cpu, i64 n, i64 classes, const T* y, const i64* target);

}  // namespace mica::kernels
