// Elementwise formulas, one functor each with its forward and its gradients, for every backend.
#pragma once

#include <cmath>

namespace mica::kernels {

// y = f(a, b); ga and gb are gradients of y by a and b, times gy.
struct Add {
  template <class T> static T forward(T a, T b) { return a + b; }
  template <class T> static T grad_a(T, T, T gy) { return gy; }
  template <class T> static T grad_b(T, T, T gy) { return gy; }
};
struct Sub {
  template <class T> static T forward(T a, T b) { return a - b; }
  template <class T> static T grad_a(T, T, T gy) { return gy; }
  template <class T> static T grad_b(T, T, T gy) { return -gy; }
};
struct Mul {
  template <class T> static T forward(T a, T b) { return a * b; }
  template <class T> static T grad_a(T, T b, T gy) { return gy * b; }
  template <class T> static T grad_b(T a, T, T gy) { return gy * a; }
};
struct Div {
  template <class T> static T forward(T a, T b) { return a / b; }
  template <class T> static T grad_a(T, T b, T gy) { return gy / b; }
  template <class T> static T grad_b(T a, T b, T gy) { return -gy * (a / b) / b; }
};

// y = f(x); gx from y alone, so that x need not be kept.
struct Relu {  // NaN passes through, as in PyTorch
  template <class T> static T forward(T x) { return x < T(0) ? T(0) : x; }
  template <class T> static T grad(T y, T gy) { return y <= T(0) ? T(0) : gy; }
};

}  // namespace mica::kernels
