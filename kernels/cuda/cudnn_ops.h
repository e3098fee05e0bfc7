// What cuDNN does beside convolution (conv2d.h), called by MICA_BY_CUDNN: kernels/cuda/…_cudnn.cpp. Each returns false where
// cuDNN cannot do the case.
#pragma once

#include <mica/kernels/batch_norm.h>
#include <mica/kernels/cuda/by_cudnn.h>
#include <mica/kernels/pool.h>
#include <mica/kernels/softmax.h>

namespace mica::kernels::cudnn_ops {

template <class T>
bool softmax_forward(Cuda& cuda, const SoftmaxDims& d, bool logarithm, const T* x, T* y);
template <class T>
bool softmax_backward(Cuda& cuda, const SoftmaxDims& d, bool logarithm, const T* y, const T* gy, T* gx);

template <class T>
bool max_pool2d_forward(Cuda& cuda, const Pool2dDims& d, const T* x, T* y);
template <class T>
bool max_pool2d_backward(Cuda& cuda, const Pool2dDims& d, const T* x, const T* gy, T* gx);
template <class T>
bool avg_pool2d_forward(Cuda& cuda, const Pool2dDims& d, const AveragePool& rule, const T* x, T* y);
template <class T>
bool avg_pool2d_backward(Cuda& cuda, const Pool2dDims& d, const AveragePool& rule, const T* gy, T* gx);

// As batch_norm_by_cudnn, without counting the batch.
template <class T>
bool batch_norm_train(Cuda& cuda, const BatchNormDims& d, const T* x, const BatchNormParameters<T>& parameters,
                      const RunningStatistics<T>& running, const NewBatchNormFactors<T>& factors, T* y);
template <class T>
bool batch_norm_evaluate(Cuda& cuda, const BatchNormDims& d, const T* x, const BatchNormParameters<T>& parameters, const T* mean,
                         const T* variance, T* y);
// Of training. gx may be null.
template <class T>
bool batch_norm_backward(Cuda& cuda, const BatchNormDims& d, const T* x, const T* gy, double eps, const BatchNormFactors<T>& factors,
                         const T* w, T* gx, T* gw, T* gb);

}  // namespace mica::kernels::cudnn_ops
