// Convolutions between batch norms, in which every tensor is written once and read once: as a convolution stores its output, it sums what
// the batch norm behind it learns, and as it loads its input, it applies the batch norm before it, with ReLU and dropout. Backward, one
// load of a gradient serves both gradients of the convolution; the batch norm behind is undone on that load, and ReLU and dropout before
// as the input's gradient is stored, with the sums that the gradients of the batch norm before need.
//   x̃ = dropout(relu(x · scale + shift))    y = b + x̃ ∗ w
// The definition is what it stands for: batch_norm.h, conv2d.h. f32, on CUDA from sm_80 on, where conv2d_chain_applies; products are TF32's
// where Settings::cudnn_tf32 allows it, else of three each, with f32's error.
#pragma once

#include <mica/kernels/batch_norm.h>
#include <mica/kernels/conv2d.h>

namespace mica::kernels {

// Can these sizes be chained? 3×3 filters, stride 1, padding 0 or 1, 16 channels to 16 or 32, at most 29 columns. Not where cuDNN is
// chosen for one of the ops.
inline bool conv2d_chain_applies(Cpu&, const Conv2dDims&) { return false; }
bool conv2d_chain_applies(Cuda& cuda, const Conv2dDims& d);

// x̃; by.scale null: x itself, without dropout.
struct ChainInput {
  const float* x;  // n×h×w×16
  BatchNormFactors<float> by{};
  Dropout dropout{};
};

// What batch_norm_of_batch makes of y.
struct ChainStatistics {
  BatchNormParameters<float> parameters;
  RunningStatistics<float> running;
  float* variance;
  NewBatchNormFactors<float> factors;
};

// Filters as the products take them, for both passes: conv2d_chain_filter_floats of them. tf32: what was allowed when they were packed.
struct ChainFilters {
  const float* packed;
  bool tf32;
};
i64 conv2d_chain_filter_floats(const Conv2dDims& d);
ChainFilters conv2d_chain_pack_filters(Cuda& cuda, const Conv2dDims& d, const float* w, float* packed);

// bias may be null, and statistics where nothing is learnt.
void conv2d_chain_forward(Cuda& cuda, const Conv2dDims& d, const ChainInput& x, const ChainFilters& filters, const float* bias, float* y,
                          const ChainStatistics* statistics);

// The gradient of y = by_g·g + by_x·(y − mean) + constant, where g is that of the batch norm's output, by slopes[3×channels] = by_g, by_x,
// constant; y null: by_g·g, since mean and variance were not the batch's own; slopes null: g itself.
struct ChainGradient {
  const float *g, *y = nullptr, *mean = nullptr, *slopes = nullptr;
};

// The gradients of a batch norm's parameters, and the slopes by which its output's gradient becomes its input's. before: of a bias that is
// added before it, which a batch's mean takes away again; may be null.
struct ChainNormGradients {
  const float* w;
  bool training;  // were mean and variance the batch's own?
  float *gw, *gb, *slopes, *before;
};

// gx is the gradient of x, or where x is normalised that of x·scale + shift; then norm is given. gw: o×3×3×16. One of them may be null.
void conv2d_chain_backward(Cuda& cuda, const Conv2dDims& d, const ChainGradient& gy, const ChainInput& x, const ChainFilters& filters, float* gx, float* gw,
                           const ChainNormGradients* norm);

// At a chain's ends: g = gy where dropout(relu(z)) > 0 (times dropout's scale), z = x·scale + shift, with the gradients of that norm; y is
// read with dropout only …
void conv2d_chain_reached(Cuda& cuda, const BatchNormDims& d, const float* x, const float* y, const float* gy, const BatchNormFactors<float>& by,
                          const Dropout& dropout, float* g, const ChainNormGradients& norm);
// … and gx, of the gradient's y.
void conv2d_chain_input_gradient(Cuda& cuda, const BatchNormDims& d, const ChainGradient& gradient, float* gx);

}  // namespace mica::kernels
