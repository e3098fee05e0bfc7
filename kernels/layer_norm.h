// Layer normalisation of the rows of a matrix. f32 and f64, long sums in f64. With x̂ = (x − mean)·r, r = 1/√(var + eps), where
// var is the biased variance of the row:
//   y = x̂·w + b        gx = r·(h − mean(h) − x̂·mean(h·x̂)), h = gy·w        gw = Σ_rows gy·x̂        gb = Σ_rows gy
#pragma once

#include <mica/kernels/context.h>
#include <mica/kernels/dims.h>

namespace mica::kernels {

// x, y: rows×n. w, b: (n) or null (1, 0). mean, inverse_std: (rows), kept for backward.
template <class T>
void layer_norm_forward(Cpu& cpu, i64 rows, i64 n, double eps, const T* x, const T* w, const T* b, T* y, T* mean, T* inverse_std);
template <class T>
void layer_norm_forward(Cuda& cuda, i64 rows, i64 n, double eps, const T* x, const T* w, const T* b, T* y, T* mean, T* inverse_std);

// gx, gw, gb may be null.
template <class T>
void layer_norm_backward(Cpu& cpu, i64 rows, i64 n, const T* x, const T* w, const T* mean, const T* inverse_std, const T* gy, T* gx,
                         T* gw, T* gb);
template <class T>
void layer_norm_backward(Cuda& cuda, i64 rows, i64 n, const T* x, const T* w, const T* mean, const T* inverse_std, const T* gy, T* gx,
                         T* gw, T* gb);

}  // namespace mica::kernels
