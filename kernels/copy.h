// Moving elements: fill, conversion between element types, copies between memory orders.
#pragma once

#include <mica/kernels/context.h>
#include <mica/kernels/dims.h>

namespace mica::kernels {

// y[i] = value, for i < n. T: every element type.
template <class T> void fill(Cpu& cpu, i64 n, T value, T* y);
template <class T> void fill(Cuda& cuda, i64 n, T value, T* y);

// y[i] = To(x[i]), as static_cast; what a whole type cannot hold (NaN, too large) is
// undefined, and the backends differ there. From, To: every element type.
template <class From, class To> void convert(Cpu& cpu, i64 n, const From* x, To* y);
template <class From, class To> void convert(Cuda& cuda, i64 n, const From* x, To* y);

// y = x, both walked over the same `rank` sizes with strides of their own. y must not overlap x.
template <class T>
void strided_copy(Cpu& cpu, int rank, const Sizes& sizes, const Sizes& x_strides, const T* x, const Sizes& y_strides, T* y);
template <class T>
void strided_copy(Cuda& cuda, int rank, const Sizes& sizes, const Sizes& x_strides, const T* x, const Sizes& y_strides, T* y);

}  // namespace mica::kernels
