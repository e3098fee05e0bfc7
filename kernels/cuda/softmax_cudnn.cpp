// Softmax by cuDNN: lines along the channels of outer×length×inner×1 images, NCHW.
#include <mica/kernels/cuda/cudnn.h>
#include <mica/kernels/cuda/cudnn_ops.h>

namespace mica::kernels::cudnn_ops {
namespace {

cudnnSoftmaxAlgorithm_t algorithm_of(bool logarithm) { return logarithm ? CUDNN_SOFTMAX_LOG : CUDNN_SOFTMAX_ACCURATE; }

template <class T>
TensorDescriptor lines(const SoftmaxDims& d) {
  return {cudnn_type<T>, CUDNN_TENSOR_NCHW, d.outer, d.length, d.inner, 1};
}

}  // namespace

template <class T>
bool softmax_forward(Cuda& cuda, const SoftmaxDims& d, bool logarithm, const T* x, T* y) {
  if (!cudnn_sizes({d.outer, d.length, d.inner}) || !cudnn_aligned({x, y})) return false;
  Cudnn& cudnn = *cuda.cudnn();
  const std::lock_guard lock(cudnn.mutex());
  const TensorDescriptor xy = lines<T>(d);
  return started(MICA_CUDNN_CALL(cudnnSoftmaxForward)(cudnn.handle(), algorithm_of(logarithm), CUDNN_SOFTMAX_MODE_CHANNEL, &cudnn_one<T>,
                                                        xy, x, &cudnn_zero<T>, xy, y),
                   "cudnnSoftmaxForward");
}

template <class T>
bool softmax_backward(Cuda& cuda, const SoftmaxDims& d, bool logarithm, const T* y, const T* gy, T* gx) {
  if (!cudnn_sizes({d.outer, d.length, d.inner}) || !cudnn_aligned({y, gy, gx})) return false;
  Cudnn& cudnn = *cuda.cudnn();
  const std::lock_guard lock(cudnn.mutex());
  const TensorDescriptor all = lines<T>(d);
  return started(MICA_CUDNN_CALL(cudnnSoftmaxBackward)(cudnn.handle(), algorithm_of(logarithm), CUDNN_SOFTMAX_MODE_CHANNEL, &cudnn_one<T>,
                                                         all, y, all, gy, &cudnn_zero<T>, all, gx),
                   "cudnnSoftmaxBackward");
}

#define MICA_FLOATING(T)                                                        \
  template bool softmax_forward(Cuda&, const SoftmaxDims&, bool, const T*, T*); \
  template bool softmax_backward(Cuda&, const SoftmaxDims&, bool, const T*, const T*, T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels::cudnn_ops
