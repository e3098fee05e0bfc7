// Batch norm by cuDNN: rows as the pixels of one image NHWC, which CUDNN_BATCHNORM_SPATIAL normalises by channel.
#include <mica/kernels/cuda/cudnn.h>
#include <mica/kernels/cuda/cudnn_ops.h>

namespace mica::kernels::cudnn_ops {
namespace {

constexpr auto mode = CUDNN_BATCHNORM_SPATIAL;

bool takes(const BatchNormDims& d, double eps) { return cudnn_sizes({d.rows, d.channels}) && eps >= CUDNN_BN_MIN_EPSILON; }

struct Descriptors {
  TensorDescriptor x;       // y and the gradients, too
  OwnedTensor per_channel;  // 1×channels×1×1
  Descriptors(cudnnDataType_t type, const BatchNormDims& d) : x(type, CUDNN_TENSOR_NHWC, 1, d.channels, d.rows, 1) {
    check(MICA_CUDNN_CALL(cudnnDeriveBNTensorDescriptor)(per_channel, x, mode), "cudnnDeriveBNTensorDescriptor");
  }
};

}  // namespace

// cuDNN's running variance is unbiased, as ours, and what it saves is 1 / √(var + eps). An average of all batches would
// need their count, which is in device memory.
template <class T>
bool batch_norm_train(Cuda& cuda, const BatchNormDims& d, const T* x, const BatchNormParameters<T>& parameters,
                      const RunningStatistics<T>& running, const NewBatchNormFactors<T>& factors, T* y) {
  if (!takes(d, parameters.eps) || (running.mean && !running.momentum)) return false;
  if (!cudnn_aligned({x, parameters.w, parameters.b, running.mean, running.variance, factors.mean, factors.inverse_std, y})) return false;
  Cudnn& cudnn = *cuda.cudnn();
  const std::lock_guard lock(cudnn.mutex());
  const Descriptors by(cudnn_type<T>, d);
  return started(MICA_CUDNN_CALL(cudnnBatchNormalizationForwardTraining)(
                       cudnn.handle(), mode, &cudnn_one<T>, &cudnn_zero<T>, by.x, x, by.x, y, by.per_channel, parameters.w, parameters.b,
                       running.momentum.value_or(0), running.mean, running.variance, parameters.eps, factors.mean, factors.inverse_std),
                   "cudnnBatchNormalizationForwardTraining");
}

template <class T>
bool batch_norm_evaluate(Cuda& cuda, const BatchNormDims& d, const T* x, const BatchNormParameters<T>& parameters, const T* mean,
                         const T* variance, T* y) {
  if (!takes(d, parameters.eps) || !cudnn_aligned({x, parameters.w, parameters.b, mean, variance, y})) return false;
  Cudnn& cudnn = *cuda.cudnn();
  const std::lock_guard lock(cudnn.mutex());
  const Descriptors by(cudnn_type<T>, d);
  return started(
      MICA_CUDNN_CALL(cudnnBatchNormalizationForwardInference)(cudnn.handle(), mode, &cudnn_one<T>, &cudnn_zero<T>, by.x, x, by.x, y,
                                                               by.per_channel, parameters.w, parameters.b, mean, variance, parameters.eps),
      "cudnnBatchNormalizationForwardInference");
}

template <class T>
bool batch_norm_backward(Cuda& cuda, const BatchNormDims& d, const T* x, const T* gy, double eps, const BatchNormFactors<T>& factors,
                         const T* w, T* gx, T* gw, T* gb) {
  if (!takes(d, eps) || !cudnn_aligned({x, gy, factors.mean, factors.inverse_std, w, gx, gw, gb})) return false;
  Cudnn& cudnn = *cuda.cudnn();
  const std::lock_guard lock(cudnn.mutex());
  const Descriptors by(cudnn_type<T>, d);
  const auto unwanted = cuda.scratch<T>(gx ? 0 : d.rows * d.channels);
  return started(MICA_CUDNN_CALL(cudnnBatchNormalizationBackward)(cudnn.handle(), mode, &cudnn_one<T>, &cudnn_zero<T>, &cudnn_one<T>,
                                                                    &cudnn_zero<T>, by.x, x, by.x, gy, by.x, gx ? gx : unwanted.get(),
                                                                    by.per_channel, w, gw, gb, eps, factors.mean, factors.inverse_std),
                   "cudnnBatchNormalizationBackward");
}

#define MICA_FLOATING(T)                                                                                                                   \
  template bool batch_norm_train(Cuda&, const BatchNormDims&, const T*, const BatchNormParameters<T>&, const RunningStatistics<T>&,        \
                                 const NewBatchNormFactors<T>&, T*);                                                                       \
  template bool batch_norm_evaluate(Cuda&, const BatchNormDims&, const T*, const BatchNormParameters<T>&, const T*, const T*, T*);         \
  template bool batch_norm_backward(Cuda&, const BatchNormDims&, const T*, const T*, double, const BatchNormFactors<T>&, const T*, T*, T*, \
                                    T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels::cudnn_ops
