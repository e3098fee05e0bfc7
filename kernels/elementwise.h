// Elementwise kernels: one loop for all functors of kernels/functors.h. f32 and f64.
#pragma once

#include <mica/kernels/context.h>
#include <mica/kernels/dims.h>
#include <mica/kernels/functors.h>

namespace mica::kernels {

// y = f(a, b), a and b read with strides (0 where broadcast) over the sizes of y, which is dense in this walk.
template <class F, class T>
void binary_forward(Cpu& cpu, const F& f, int rank, const Sizes& sizes, const Sizes& a_strides, const T* a,
                    const Sizes& b_strides, const T* b, T* y);
template <class F, class T>
void binary_forward(Cuda& cuda, const F& f, int rank, const Sizes& sizes, const Sizes& a_strides, const T* a,
                    const Sizes& b_strides, const T* b, T* y);

// ga, gb: gradients before they are summed over broadcast dimensions, dense. Either may be null. gy is dense too, or,
// where one_gy (for functors that are `averaged`), a single value for all positions.
template <class F, class T>
void binary_backward(Cpu& cpu, const F& f, int rank, const Sizes& sizes, const Sizes& a_strides, const T* a,
                     const Sizes& b_strides, const T* b, bool one_gy, const T* gy, T* ga, T* gb);
template <class F, class T>
void binary_backward(Cuda& cuda, const F& f, int rank, const Sizes& sizes, const Sizes& a_strides, const T* a,
                     const Sizes& b_strides, const T* b, bool one_gy, const T* gy, T* ga, T* gb);

template <class F, class T> void unary_forward(Cpu& cpu, const F& f, i64 n, const T* x, T* y);
template <class F, class T> void unary_forward(Cuda& cuda, const F& f, i64 n, const T* x, T* y);
// kept: x or y, as F::keeps says.
template <class F, class T> void unary_backward(Cpu& cpu, const F& f, i64 n, const T* kept, const T* gy, T* gx);
template <class F, class T> void unary_backward(Cuda& cuda, const F& f, i64 n, const T* kept, const T* gy, T* gx);

}  // namespace mica::kernels
