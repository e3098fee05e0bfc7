// What batch norm computes of one channel's statistics, on every backend. In f64, rounded once for each result.
#pragma once

#include <mica/kernels/batch_norm.h>
#include <mica/kernels/math.h>

namespace mica::kernels {

template <class T>
MICA_FUNCTION void make_factors(i64 c, T mean, T variance, const BatchNormParameters<T>& parameters, const NewBatchNormFactors<T>& factors) {
  const double s = 1 / math::sqrt(static_cast<double>(variance) + parameters.eps);
  const double by = s * static_cast<double>(parameters.w[c]);
  factors.mean[c] = mean;
  factors.inverse_std[c] = static_cast<T>(s);
  factors.scale[c] = static_cast<T>(by);
  factors.shift[c] = static_cast<T>(static_cast<double>(parameters.b[c]) - static_cast<double>(mean) * by);
}

// The batch of these rows has been counted.
template <class T>
MICA_FUNCTION void update_running(i64 c, i64 rows, T mean, T variance, const RunningStatistics<T>& running) {
  if (!running.mean) return;
  const double momentum = running.momentum ? *running.momentum : 1 / static_cast<double>(*running.batches);
  const double n = static_cast<double>(rows), keep = 1 - momentum;
  running.mean[c] = static_cast<T>(keep * static_cast<double>(running.mean[c]) + momentum * static_cast<double>(mean));
  running.variance[c] = static_cast<T>(keep * static_cast<double>(running.variance[c]) + momentum * static_cast<double>(variance) * n / (n - 1));
}

}  // namespace mica::kernels
