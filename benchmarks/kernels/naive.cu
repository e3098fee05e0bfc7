// The formulas of families/*.h on CUDA, one thread for each output: a new one is one line at the end.
#include "families/batch_norm.h"
#include "families/broadcast.h"
#include "families/chain.h"
#include "families/conv2d.h"
#include "families/copy.h"
#include "families/dropout.h"
#include "families/elementwise.h"
#include "families/gather.h"
#include "families/layer_norm.h"
#include "families/loss.h"
#include "families/matmul.h"
#include "families/optimizer.h"
#include "families/pool.h"
#include "families/reduction.h"

#include <mica/kernels/cuda/launch.h>

namespace mica::bench {
namespace {

template <class Formula>
__global__ void each_kernel(unsigned n, Formula formula, float* y) {
  const unsigned i = kernels::first_item();
  if (i < n) y[i] = formula(i);
}

}  // namespace

template <class Formula>
void each(Cuda& cuda, i64 n, const Formula& formula, float* y) {
  const unsigned blocks = static_cast<unsigned>(kernels::ceil_div(n, kernels::threads_per_block));
  kernels::launch(cuda, "naive", each_kernel<Formula>, {dim3(blocks), dim3(kernels::threads_per_block)}, static_cast<unsigned>(n), formula, y);
}

#define MICA_NAIVE(name) template void each(Cuda&, i64, const name##Formula<float>&, float*);
MICA_NAIVE(Relu) MICA_NAIVE(ReluGradient) MICA_NAIVE(Sigmoid) MICA_NAIVE(Add) MICA_NAIVE(Gelu)  // elementwise
MICA_NAIVE(AddRow) MICA_NAIVE(MulColumn)  // broadcast
MICA_NAIVE(Sum) MICA_NAIVE(Largest)  // reduction
MICA_NAIVE(Copy) MICA_NAIVE(Transpose) MICA_NAIVE(ToChannelsLast) MICA_NAIVE(Bytes)  // copy
MICA_NAIVE(Matmul)  // matmul
MICA_NAIVE(Conv) MICA_NAIVE(ConvDataGradient) MICA_NAIVE(ConvWeightGradient)  // conv2d
MICA_NAIVE(ChannelMean) MICA_NAIVE(ChannelVariance) MICA_NAIVE(InverseDeviation) MICA_NAIVE(Normalize) MICA_NAIVE(Apply) MICA_NAIVE(BiasGradient) MICA_NAIVE(ScaleGradient) MICA_NAIVE(NormGradient)  // batch_norm
MICA_NAIVE(Undone) MICA_NAIVE(Masked) MICA_NAIVE(Slope)  // chain
MICA_NAIVE(RowMean) MICA_NAIVE(RowVariance) MICA_NAIVE(LayerNorm) MICA_NAIVE(RowGradientMean) MICA_NAIVE(LayerNormGradient) MICA_NAIVE(LayerScaleGradient)  // layer_norm
MICA_NAIVE(Dropout) MICA_NAIVE(Uniform)  // dropout
MICA_NAIVE(MaxPool) MICA_NAIVE(AveragePool) MICA_NAIVE(MaxPoolGradient) MICA_NAIVE(AveragePoolGradient)  // pool
MICA_NAIVE(LineMax) MICA_NAIVE(LineSum) MICA_NAIVE(Softmax) MICA_NAIVE(LineDot) MICA_NAIVE(SoftmaxGradient) MICA_NAIVE(CrossEntropy) MICA_NAIVE(CrossEntropyGradient)  // loss
MICA_NAIVE(Momentum) MICA_NAIVE(Sgd) MICA_NAIVE(MovingAverage) MICA_NAIVE(Adam)  // optimizer
MICA_NAIVE(Batch) MICA_NAIVE(Gather) MICA_NAIVE(ScatterAdd)  // gather

}  // namespace mica::bench
