// f32 convolution by oneDNN, for every shape. Contracts as in kernels/conv2d.h.
#pragma once

#include <mica/kernels/conv2d.h>

namespace mica::kernels::onednn {

void conv2d_forward(Cpu& cpu, const Conv2dDims& d, const float* x, const float* w, const float* bias, float* y);
void conv2d_backward_data(Cpu& cpu, const Conv2dDims& d, const float* gy, const float* w, float* gx);
void conv2d_backward_weight(Cpu& cpu, const Conv2dDims& d, const float* x, const float* gy, float* gw, float* gb);

}  // namespace mica::kernels::onednn
