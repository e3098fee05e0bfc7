// Batch normalisation over rows (N·H·W, or N) of channels, with an optional ReLU and dropout in the same pass.
//   z = x · scale + shift   with scale = w / √(var + eps), shift = b − mean · scale,   y = dropout(relu(z))
// Training, with n rows, g = gy where y > 0 (times dropout's scale), x̂ = (x − mean) / √(var + eps):
//   gb = Σ g,   gw = Σ g·x̂,   gx = scale · (g − gb/n − x̂ · gw/n);   in evaluation gx = scale · g.
// Source: Ioffe and Szegedy, "Batch Normalization", 2015, section 3.
// f64 is the definition, by plain loops (cpu/batch_norm_reference.h); f32 is fast.
#pragma once

#include <mica/kernels/dropout.h>

#include <optional>

namespace mica::kernels {

struct BatchNormDims {
  i64 rows, channels;  // x, y: rows×channels; 1 or more
};

struct Epilogue {
  bool relu = false;
  Dropout dropout;  // p > 0 only together with relu: the mask of both is then y > 0
};

// By channel: what z was made with, and 1 / √(var + eps).
template <class T> struct BatchNormFactors {
  const T *mean, *inverse_std, *scale, *shift;
};
template <class T> struct NewBatchNormFactors {
  T *mean, *inverse_std, *scale, *shift;
};

template <class T> struct BatchNormParameters {
  double eps;
  const T *w, *b;
};

// What training keeps for evaluation: running = (1 − momentum) · running + momentum · batch, the batch's variance unbiased.
template <class T> struct RunningStatistics {
  T *mean = nullptr, *variance = nullptr;  // both, or neither
  i64* batches = nullptr;                  // how many there were: counted here, if given
  std::optional<double> momentum;          // none: 1 / batches, which averages them all
};

// Training: mean[channels] and biased variance[channels] of x, the running statistics, and the factors. In f32 blocks of
// rows are summed about their first row and combined in f64 by Chan's formula, so that a mean far from zero costs no
// precision; the order depends on the sizes alone.
template <class T>
void batch_norm_of_batch(Cpu& cpu, const BatchNormDims& d, const T* x, const BatchNormParameters<T>& parameters,
                         const RunningStatistics<T>& running, T* variance, const NewBatchNormFactors<T>& factors);
template <class T>
void batch_norm_of_batch(Cuda& cuda, const BatchNormDims& d, const T* x, const BatchNormParameters<T>& parameters,
                         const RunningStatistics<T>& running, T* variance, const NewBatchNormFactors<T>& factors);

// Evaluation: the factors of given statistics; factors.mean becomes a copy.
template <class T>
void batch_norm_of_running(Cpu& cpu, i64 channels, const T* mean, const T* variance, const BatchNormParameters<T>& parameters,
                           const NewBatchNormFactors<T>& factors);
template <class T>
void batch_norm_of_running(Cuda& cuda, i64 channels, const T* mean, const T* variance, const BatchNormParameters<T>& parameters,
                           const NewBatchNormFactors<T>& factors);

template <class T>
void batch_norm_apply(Cpu& cpu, const BatchNormDims& d, const T* x, const T* scale, const T* shift, const Epilogue& epilogue, T* y);
template <class T>
void batch_norm_apply(Cuda& cuda, const BatchNormDims& d, const T* x, const T* scale, const T* shift, const Epilogue& epilogue, T* y);

// By cuDNN, where it is chosen and can: y = z, and in training what batch_norm_of_batch does, but of the factors only mean and
// inverse_std, which are what backward needs without a ReLU. `running` are in evaluation the statistics themselves. False where
// nothing was done.
template <class T>
bool batch_norm_by_cudnn(Cpu&, const BatchNormDims&, const T*, const BatchNormParameters<T>&, const RunningStatistics<T>&, bool,
                         const NewBatchNormFactors<T>&, T*) { return false; }
template <class T>
bool batch_norm_by_cudnn(Cuda& cuda, const BatchNormDims& d, const T* x, const BatchNormParameters<T>& parameters,
                         const RunningStatistics<T>& running, bool training, const NewBatchNormFactors<T>& factors, T* y);
// And the gradients of training without an epilogue. gx may be null.
template <class T>
bool batch_norm_backward_by_cudnn(Cpu&, const BatchNormDims&, const T*, const T*, double, const BatchNormFactors<T>&, const T*, T*, T*, T*) { return false; }
template <class T>
bool batch_norm_backward_by_cudnn(Cuda& cuda, const BatchNormDims& d, const T* x, const T* gy, double eps, const BatchNormFactors<T>& factors,
                                  const T* w, T* gx, T* gw, T* gb);

// y is read only with dropout: where a ReLU alone was active is found again from x, which is read anyway. `training`: were
// mean and variance x's own? gx may be null; gw and gb are always written.
template <class T>
void batch_norm_backward(Cpu& cpu, const BatchNormDims& d, const T* x, const T* y, const T* gy, const BatchNormFactors<T>& factors,
                         const T* w, bool training, const Epilogue& epilogue, T* gx, T* gw, T* gb);
template <class T>
void batch_norm_backward(Cuda& cuda, const BatchNormDims& d, const T* x, const T* y, const T* gy, const BatchNormFactors<T>& factors,
                         const T* w, bool training, const Epilogue& epilogue, T* gx, T* gw, T* gb);

}  // namespace mica::kernels
