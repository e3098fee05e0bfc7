// What the update rules and the clipping of kernels/optimizer.h do with one element: one definition for all backends, so that
// they give the same bits. A rule takes the elements that belong together; settings are in the parameters' precision.
#pragma once

#include <mica/kernels/math.h>
#include <mica/kernels/optimizer.h>

#include <cmath>

namespace mica::kernels {

// Without decay an infinite parameter adds nothing.
template <class T>
MICA_FUNCTION T decayed(T gradient, T decay, T parameter) {
  return decay == T(0) ? gradient : gradient + decay * parameter;
}

template <class T>
struct SgdRule {
  T lr, decay;

  explicit SgdRule(const SgdSettings& s) : lr(static_cast<T>(s.lr.value)), decay(static_cast<T>(s.weight_decay)) {}
  MICA_FUNCTION void operator()(T& parameter, T gradient) const { parameter -= lr * decayed(gradient, decay, parameter); }
};

template <class T>
struct MomentumRule {
  T lr, momentum, decay, undamped;
  bool nesterov;

  explicit MomentumRule(const SgdSettings& s)
      : lr(static_cast<T>(s.lr.value)), momentum(static_cast<T>(s.momentum.value)), decay(static_cast<T>(s.weight_decay)),
        undamped(static_cast<T>(1 - s.dampening)), nesterov(s.nesterov) {}

  // b = old·b + fresh·d: 0 and 1 at a parameter's first step, where b is whatever it is, but finite.
  MICA_FUNCTION T old(bool first) const { return first ? T(0) : momentum; }
  MICA_FUNCTION T fresh(bool first) const { return first ? T(1) : undamped; }
  MICA_FUNCTION void operator()(T old, T fresh, T& parameter, T gradient, T& buffer) const {
    const T d = decayed(gradient, decay, parameter), b = old * buffer + fresh * d;
    buffer = b;
    parameter -= lr * (nesterov ? d + momentum * b : b);
  }
};

template <class T>
struct AdamRule {
  T beta1, fresh1, beta2, fresh2, eps, decay, keep;

  explicit AdamRule(const AdamSettings& s)
      : beta2(static_cast<T>(s.beta2)), fresh2(static_cast<T>(1 - s.beta2)), eps(static_cast<T>(s.eps)),
        decay(static_cast<T>(s.weight_decay)), keep(static_cast<T>(s.keep.value)) {
    set_beta1(s.beta1.value);
  }
  MICA_FUNCTION void set_beta1(double beta) { beta1 = static_cast<T>(beta), fresh1 = static_cast<T>(1 - beta); }

  MICA_FUNCTION void operator()(const AdamBias<T>& bias, T& parameter, T gradient, T& mean, T& mean_square) const {
    const T d = decayed(gradient, decay, parameter);
    const T m = beta1 * mean + fresh1 * d, v = beta2 * mean_square + fresh2 * (d * d);
    mean = m;
    mean_square = v;
    parameter = keep * parameter - bias.rate * m / (math::sqrt(v) * bias.scale + eps);
  }
};

// With momentum it keeps b in `buffer`, centered m in `mean`; without they are neither read nor written.
template <class T, bool centered, bool with_momentum>
struct RmspropRule {
  T lr, alpha, fresh, eps, decay, momentum;

  explicit RmspropRule(const RmspropSettings& s)
      : lr(static_cast<T>(s.lr.value)), alpha(static_cast<T>(s.alpha)), fresh(static_cast<T>(1 - s.alpha)), eps(static_cast<T>(s.eps)),
        decay(static_cast<T>(s.weight_decay)), momentum(static_cast<T>(s.momentum.value)) {}

  MICA_FUNCTION void operator()(T& parameter, T gradient, T& square, [[maybe_unused]] T* buffer, [[maybe_unused]] T* mean) const {
    const T d = decayed(gradient, decay, parameter);
    square = alpha * square + fresh * (d * d);
    T variance = square;
    if constexpr (centered) {
      *mean += fresh * (d - *mean);
      variance -= *mean * *mean;
    }
    T step = d / (math::sqrt(variance) + eps);
    if constexpr (with_momentum) step = *buffer = momentum * *buffer + step;
    parameter -= lr * step;
  }
};

// From the nearer end, as PyTorch's lerp: a weight of 1 gives the value itself, whatever the average was.
template <class T>
struct AverageRule {
  T weight;

  MICA_FUNCTION explicit AverageRule(double w) : weight(static_cast<T>(w)) {}
  MICA_FUNCTION void operator()(T& average, T value) const {
    if (weight == T(1)) average = value;
    else if (weight < T(0.5)) average += weight * (value - average);
    else average = value - (value - average) * (T(1) - weight);
  }
};

template <class T>
MICA_FUNCTION T clamped(T x, T limit) {  // NaN stays
  const T raised = x < -limit ? -limit : x;
  return raised > limit ? limit : raised;
}

// ---- sums of powers: total = term's, one element after the other; join brings two of them together ----

struct Sum {
  MICA_FUNCTION static double join(double total, double one) { return total + one; }
};
struct Squares : Sum {
  MICA_FUNCTION double operator()(double total, double x) const { return total + x * x; }
};
struct Absolutes : Sum {
  MICA_FUNCTION double operator()(double total, double x) const { return total + std::fabs(x); }
};
struct Powers : Sum {
  double p;
  MICA_FUNCTION explicit Powers(double power) : p(power) {}
  MICA_FUNCTION double operator()(double total, double x) const { return total + std::pow(std::fabs(x), p); }
};
struct Largest {
  MICA_FUNCTION static double join(double most, double one) { return (one > most) | (one != one) ? one : most; }  // NaN wins
  MICA_FUNCTION double operator()(double most, double x) const { return join(most, std::fabs(x)); }
};

MICA_FUNCTION void find_clip_factor(double p, double max_norm, int parts, const double* sums, double* norm, double* factor) {
  const bool most = p == static_cast<double>(math::infinity);
  double total = sums[0];
  for (int k = 1; k < parts; ++k) total = most ? Largest::join(total, sums[k]) : total + sums[k];
  *norm = most ? total : p == 2 ? std::sqrt(total) : std::pow(total, 1 / p);
  const double wanted = max_norm / (*norm + 1e-6);
  *factor = wanted > 1 ? 1 : wanted;  // NaN stays
}

}  // namespace mica::kernels
