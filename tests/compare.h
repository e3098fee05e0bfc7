// Comparing tensors in tests.
#pragma once

#include <mica/core/tensor.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>

namespace mica::test {

inline std::vector<double> values(const Tensor& x) { return x.to(DType::f64).to_vector<double>(); }

inline double largest(const Tensor& x) {
  double most = 0;
  for (const double v : values(x)) most = std::max(most, std::abs(v));
  return most;
}

// Largest |a − b| over the largest |b| (over 1 where that is 0); infinity where shapes differ or a value is NaN.
inline double difference(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return std::numeric_limits<double>::infinity();
  const std::vector<double> va = values(a), vb = values(b);
  double most = 0;
  for (std::size_t i = 0; i < va.size(); ++i) {
    const double d = std::abs(va[i] - vb[i]);
    if (std::isnan(d)) return std::numeric_limits<double>::infinity();
    most = std::max(most, d);
  }
  const double scale = largest(b);
  return most / (scale > 0 ? scale : 1);
}

// The same values to the bit, NaNs included.
inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         (a.numel() == 0 || std::equal(static_cast<const char*>(a.raw_data()),
                                       static_cast<const char*>(a.raw_data()) + static_cast<std::size_t>(a.numel()) * size_of(a.dtype()),
                                       static_cast<const char*>(b.raw_data())));
}

// The text of the Error that f throws; "" where it throws none.
template <class E>
std::string error_text(const std::function<void()>& f) {
  try {
    f();
  } catch (const E& error) {
    return error.what();
  }
  return "";
}

}  // namespace mica::test
