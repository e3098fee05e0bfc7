// Elementwise formulas, one functor each with its forward and its gradients, for every backend. PyTorch's meaning.
// fused: may the functions of math.h round a·b + c once?
#pragma once

#include <mica/kernels/math.h>

namespace mica::kernels {

// ---- two operands: y = forward(a, b); ga and gb are the gradients of y by a and b, times gy ----
// a_for_ga, b_for_gb: does an operand's own gradient depend on it? (On the other it does, but for sums.)
// long_formula: is it so long that its loops on the CPU are worth having once only?

struct Add {
  template <bool fused, class T> MICA_FUNCTION T forward(T a, T b) const { return a + b; }
  template <bool fused, class T> MICA_FUNCTION T grad_a(T, T, T gy) const { return gy; }
  template <bool fused, class T> MICA_FUNCTION T grad_b(T, T, T gy) const { return gy; }
};
struct Sub {
  template <bool fused, class T> MICA_FUNCTION T forward(T a, T b) const { return a - b; }
  template <bool fused, class T> MICA_FUNCTION T grad_a(T, T, T gy) const { return gy; }
  template <bool fused, class T> MICA_FUNCTION T grad_b(T, T, T gy) const { return -gy; }
};
struct Mul {
  static constexpr bool a_for_ga = false, b_for_gb = false;
  template <bool fused, class T> MICA_FUNCTION T forward(T a, T b) const { return a * b; }
  template <bool fused, class T> MICA_FUNCTION T grad_a(T, T b, T gy) const { return gy * b; }
  template <bool fused, class T> MICA_FUNCTION T grad_b(T a, T, T gy) const { return gy * a; }
};
struct Div {
  static constexpr bool a_for_ga = false, b_for_gb = true;
  template <bool fused, class T> MICA_FUNCTION T forward(T a, T b) const { return a / b; }
  template <bool fused, class T> MICA_FUNCTION T grad_a(T, T b, T gy) const { return gy / b; }
  template <bool fused, class T> MICA_FUNCTION T grad_b(T a, T b, T gy) const { return -gy * (a / b) / b; }
};
struct Pow {  // a^b; its slope by b is 0 where a is 0 and b is not negative
  static constexpr bool a_for_ga = true, b_for_gb = true, long_formula = true;
  template <bool fused, class T> MICA_FUNCTION T forward(T a, T b) const { return math::pow<fused>(a, b); }
  template <bool fused, class T> MICA_FUNCTION T grad_a(T a, T b, T gy) const { return b == T(0) ? T(0) : gy * (b * math::pow<fused>(a, b - T(1))); }
  template <bool fused, class T> MICA_FUNCTION T grad_b(T a, T b, T gy) const {
    return ((a == T(0)) & (b >= T(0))) ? T(0) : gy * (math::pow<fused>(a, b) * math::log<fused>(a));
  }
};

// Losses between an input a and a target b, before they are averaged or summed: then all have one gy (`averaged`).
struct SquaredError {  // (a − b)²
  static constexpr bool averaged = true;
  template <bool fused, class T> MICA_FUNCTION T forward(T a, T b) const { return (a - b) * (a - b); }
  template <bool fused, class T> MICA_FUNCTION T grad_a(T a, T b, T gy) const { return T(2) * (a - b) * gy; }
  template <bool fused, class T> MICA_FUNCTION T grad_b(T a, T b, T gy) const { return T(2) * (b - a) * gy; }
};
struct AbsoluteError {  // |a − b|; the slope at 0 is 0
  static constexpr bool averaged = true;
  template <bool fused, class T> MICA_FUNCTION T forward(T a, T b) const { return math::absolute(a - b); }
  template <bool fused, class T> MICA_FUNCTION T grad_a(T a, T b, T gy) const { return slope<fused>(a - b) * gy; }
  template <bool fused, class T> MICA_FUNCTION T grad_b(T a, T b, T gy) const { return slope<fused>(b - a) * gy; }
  template <bool fused, class T> MICA_FUNCTION static T slope(T d) { return d > T(0) ? T(1) : d < T(0) ? T(-1) : T(0); }
};
struct Huber {  // with d = a − b: d²/2 where |d| < delta, otherwise delta·(|d| − delta/2)
  static constexpr bool averaged = true;
  double delta;
  template <bool fused, class T> MICA_FUNCTION T forward(T a, T b) const {
    const T d = math::absolute(a - b), bound = static_cast<T>(delta);
    return d < bound ? T(0.5) * d * d : bound * (d - T(0.5) * bound);
  }
  template <bool fused, class T> MICA_FUNCTION T grad_a(T a, T b, T gy) const {
    const T d = a - b, bound = static_cast<T>(delta);
    return (d <= -bound ? -bound : d >= bound ? bound : d) * gy;
  }
  template <bool fused, class T> MICA_FUNCTION T grad_b(T a, T b, T gy) const { return -grad_a<fused>(a, b, gy); }
};

// ---- one operand: y = forward(x), gx = grad(kept, gy), where kept is x or y ----

enum class Keeps { input, output };

struct Relu {  // max(x, 0); the gradient at 0 is 0, and NaN passes through
  static constexpr Keeps keeps = Keeps::output;
  template <bool fused, class T> MICA_FUNCTION T forward(T x) const { return x < T(0) ? T(0) : x; }
  template <bool fused, class T> MICA_FUNCTION T grad(T y, T gy) const { return y <= T(0) ? T(0) : gy; }
};
struct LeakyRelu {  // x, or slope·x where x is not above 0
  static constexpr Keeps keeps = Keeps::input;
  double slope;
  template <bool fused, class T> MICA_FUNCTION T forward(T x) const { return x > T(0) ? x : x * static_cast<T>(slope); }
  template <bool fused, class T> MICA_FUNCTION T grad(T x, T gy) const { return x > T(0) ? gy : gy * static_cast<T>(slope); }
};
struct Exp {
  static constexpr Keeps keeps = Keeps::output;
  template <bool fused, class T> MICA_FUNCTION T forward(T x) const { return math::exp<fused>(x); }
  template <bool fused, class T> MICA_FUNCTION T grad(T y, T gy) const { return gy * y; }
};
struct Log {
  static constexpr Keeps keeps = Keeps::input;
  template <bool fused, class T> MICA_FUNCTION T forward(T x) const { return math::log<fused>(x); }
  template <bool fused, class T> MICA_FUNCTION T grad(T x, T gy) const { return gy / x; }
};
struct Sqrt {
  static constexpr Keeps keeps = Keeps::output;
  template <bool fused, class T> MICA_FUNCTION T forward(T x) const { return math::sqrt(x); }
  template <bool fused, class T> MICA_FUNCTION T grad(T y, T gy) const { return gy / (T(2) * y); }
};
struct Sigmoid {  // 1 / (1 + e^−x)
  static constexpr Keeps keeps = Keeps::output;
  template <bool fused, class T> MICA_FUNCTION T forward(T x) const { return T(1) / (T(1) + math::exp<fused>(-x)); }
  template <bool fused, class T> MICA_FUNCTION T grad(T y, T gy) const { return gy * (T(1) - y) * y; }
};
struct Tanh {
  static constexpr Keeps keeps = Keeps::output;
  template <bool fused, class T> MICA_FUNCTION T forward(T x) const { return math::tanh<fused>(x); }
  template <bool fused, class T> MICA_FUNCTION T grad(T y, T gy) const { return gy * (T(1) - y * y); }
};
struct Gelu {  // x·Φ(x), Φ the normal distribution, φ = Φ' its density
  static constexpr Keeps keeps = Keeps::input;
  template <bool fused, class T> MICA_FUNCTION T forward(T x) const { return x * probability<fused>(x); }
  template <bool fused, class T> MICA_FUNCTION T grad(T x, T gy) const {
    const T density = math::exp<fused>(T(-0.5) * x * x) * T(0.39894228040143267794);  // 1/√(2π)
    return gy * (probability<fused>(x) + x * density);
  }
  template <bool fused, class T> MICA_FUNCTION static T probability(T x) { return T(0.5) + T(0.5) * math::erf<fused>(x * T(0.70710678118654752440)); }
};
struct GeluTanh {  // x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
  static constexpr Keeps keeps = Keeps::input;
  template <bool fused, class T> MICA_FUNCTION T forward(T x) const { return T(0.5) * x * (T(1) + math::tanh<fused>(inner<fused>(x))); }
  template <bool fused, class T> MICA_FUNCTION T grad(T x, T gy) const {
    const T t = math::tanh<fused>(inner<fused>(x)), slope = static_cast<T>(root) * (T(1) + T(3) * T(0.044715) * x * x);
    const T rest = T(1) - t * t;  // where it is 0, slope may be ∞
    return gy * (T(0.5) * (T(1) + t) + (((rest == T(0)) & (math::absolute(x) < static_cast<T>(math::infinity))) ? T(0) : T(0.5) * x * rest * slope));
  }
  template <bool fused, class T> MICA_FUNCTION static T inner(T x) { return static_cast<T>(root) * (x + T(0.044715) * x * x * x); }
  static constexpr double root = 0.79788456080286535588;  // √(2/π)
};
struct Clamp {  // into [low, high], either of which may be ∞ for none; high wins where low > high; NaN passes through, and the
                // gradient is 0 on a bound
  static constexpr Keeps keeps = Keeps::input;
  double low, high;
  template <bool fused, class T> MICA_FUNCTION T forward(T x) const {
    const T l = static_cast<T>(low), h = static_cast<T>(high), raised = x < l ? l : x;
    return ((l != l) | (h != h)) ? static_cast<T>(math::not_a_number) : raised > h ? h : raised;
  }
  template <bool fused, class T> MICA_FUNCTION T grad(T x, T gy) const {
    const T l = static_cast<T>(low), h = static_cast<T>(high);
    return (((x > l) | (l == -math::infinity)) & ((x < h) | (h == math::infinity))) ? gy : T(0);
  }
};
struct Square {
  static constexpr Keeps keeps = Keeps::input;
  template <bool fused, class T> MICA_FUNCTION T forward(T x) const { return x * x; }
  template <bool fused, class T> MICA_FUNCTION T grad(T x, T gy) const { return gy * (T(2) * x); }
};
struct Cube {
  static constexpr Keeps keeps = Keeps::input;
  template <bool fused, class T> MICA_FUNCTION T forward(T x) const { return x * x * x; }
  template <bool fused, class T> MICA_FUNCTION T grad(T x, T gy) const { return gy * (T(3) * (x * x)); }
};
struct PowScalar {  // x^exponent
  static constexpr Keeps keeps = Keeps::input;
  double exponent;
  template <bool fused, class T> MICA_FUNCTION T forward(T x) const { return math::pow<fused>(x, static_cast<T>(exponent)); }
  template <bool fused, class T> MICA_FUNCTION T grad(T x, T gy) const {
    return exponent == 0 ? T(0) : gy * (static_cast<T>(exponent) * math::pow<fused>(x, static_cast<T>(exponent - 1)));
  }
};

// ---- lists, for instantiation in every backend ----
#define MICA_EVERY_BINARY(DO, T) \
  DO(Add, T) DO(Sub, T) DO(Mul, T) DO(Div, T) DO(Pow, T) DO(SquaredError, T) DO(AbsoluteError, T) DO(Huber, T)
#define MICA_EVERY_UNARY(DO, T)                                                                                         \
  DO(Relu, T) DO(LeakyRelu, T) DO(Exp, T) DO(Log, T) DO(Sqrt, T) DO(Sigmoid, T) DO(Tanh, T) DO(Gelu, T) DO(GeluTanh, T) \
  DO(Clamp, T) DO(Square, T) DO(Cube, T) DO(PowScalar, T)

}  // namespace mica::kernels
