// What comparing a case's results takes, between implementations, precisions and devices.
#pragma once

#include "../catch.h"
#include "../compare.h"
#include "case_table.h"

#include <fmt/format.h>

#include <algorithm>

namespace mica::test {

#ifdef MICA_CUDA_EMULATED
inline constexpr const char* preset = "emulated";
#else
inline constexpr const char* preset = "release";
#endif

// Fails unless found ≤ allowed, and then prints what repeats the case (on stderr, where Catch2 does not fold it).
inline void verify(const OpCase& c, const std::string& what, double found, double allowed) {
  if (!(found <= allowed))
    fmt::print(stderr, "{}: {} differs by {}, allowed {}\n  repeat: MICA_CASE='{}' build/{}/tests/mica_tests \"[ops]\"\n", c.id, what, found, allowed, c.line(), preset);
  CHECK(found <= allowed);
}
inline void verify(const OpCase& c, const std::string& what, bool holds) { verify(c, what, holds ? 0.0 : 1.0, 0.0); }

// The largest value that is finite, for a scale.
inline double largest_finite(const Tensor& x) {
  double most = 0;
  for (const double v : values(x))
    if (std::isfinite(v)) most = std::max(most, std::abs(v));
  return most;
}

// As difference(), where NaN equals NaN and an infinity itself.
inline double difference_with_specials(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || is_floating(a.dtype()) != is_floating(b.dtype())) return std::numeric_limits<double>::infinity();
  const std::vector<double> va = values(a), vb = values(b);
  double most = 0;
  for (std::size_t i = 0; i < va.size(); ++i) {
    if (va[i] == vb[i] || (std::isnan(va[i]) && std::isnan(vb[i]))) continue;
    // Element by element, because 1e20 would hide everything else.
    const double d = std::abs(va[i] - vb[i]) / std::max(1.0, std::abs(vb[i]));
    most = std::max(most, std::isnan(d) ? std::numeric_limits<double>::infinity() : d);
  }
  return most;
}

inline double compare(const Tensor& got, const Tensor& want) {
  const std::vector<double> v = values(want);
  return std::all_of(v.begin(), v.end(), [](double x) { return std::abs(x) < 1e10; }) ? difference(got, want) : difference_with_specials(got, want);
}

// A gradient that cancels to nothing (batch norm of two values) is compared on the scale of what went in.
inline double gradient_scale(const Outputs& grad_outputs, const Tensor& gradient) {
  double in = 0;
  for (const auto& [name, gy] : grad_outputs) in = std::max(in, largest_finite(gy));
  return std::max(1.0, in / std::max(largest_finite(gradient), 1e-300));
}

inline std::vector<Tensor> everything(const OpResult& r) {
  std::vector<Tensor> all;
  for (const auto& [name, x] : r.outputs) all.push_back(x.detach());
  for (const auto& [name, x] : r.gradients) all.push_back(x);
  for (const auto& [name, x] : r.buffers) all.push_back(x);
  return all;
}

inline bool all_same_bits(const OpResult& a, const OpResult& b) {
  const std::vector<Tensor> x = everything(a), y = everything(b);
  return std::equal(x.begin(), x.end(), y.begin(), y.end(), [](const Tensor& p, const Tensor& q) { return same_bits(p, q); });
}

template <class Map>
Map in_dtype(const Map& tensors, DType dtype) {
  Map converted;
  for (const auto& [name, x] : tensors) converted[name] = is_floating(x.dtype()) ? x.to(dtype) : x;
  return converted;
}

// Ops that only add, multiply, choose or move: exact on whole numbers as long as all sums are below 2²⁴. (A gradient that
// equals share is rounded once, in both precisions.)
inline bool is_exact(const std::string& op) {
  for (const char* exact : {"add", "sub", "mul", "relu", "clamp", "sum", "amax", "amin", "max", "min", "argmax", "argmin", "matmul", "linear", "conv2d", "reshape",
                            "permute", "transpose", "broadcast_to", "cat", "stack", "split", "gather", "max_pool2d"})
    if (op == exact) return true;
  return false;
}

}  // namespace mica::test
