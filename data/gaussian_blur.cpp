#include <mica/data/gaussian_blur.h>

#include <cstdlib>

namespace mica {
namespace {

// e^x for −33 < x ≤ 0: (e^(x/64))^64, by 20 terms of the series. Not the C library's, whose last bit differs between machines.
double exponential(double x) {
  const double part = x / 64;
  double sum = 1;
  for (int k = 20; k > 0; --k) sum = 1 + sum * part / k;
  for (int k = 0; k < 6; ++k) sum *= sum;
  return sum;
}

}  // namespace

std::int64_t gaussian_blur_size(double sigma) { return static_cast<std::int64_t>(8 * sigma + 1) | 1; }

std::vector<float> gaussian_blur_matrix(std::int64_t n, double sigma) {
  const std::int64_t reach = gaussian_blur_size(sigma) / 2;
  std::vector<double> weights(static_cast<std::size_t>(reach + 1), 1.0);  // of distances 0 … reach
  double total = 1;
  for (std::int64_t t = 1; t <= reach; ++t) {
    const double distance = static_cast<double>(t) / sigma;
    total += 2 * (weights[static_cast<std::size_t>(t)] = exponential(-0.5 * distance * distance));
  }
  std::vector<double> matrix(static_cast<std::size_t>(n * n), 0.0);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t t = -reach; t <= reach; ++t) {
      const std::int64_t j = std::abs(i + t), mirrored = j < n ? j : 2 * (n - 1) - j;
      matrix[static_cast<std::size_t>(i * n + mirrored)] += weights[static_cast<std::size_t>(std::abs(t))] / total;
    }
  return {matrix.begin(), matrix.end()};
}

}  // namespace mica
