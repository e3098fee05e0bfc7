// Convolutions of which oneDNN makes too little, by the definition's own sums, held in registers: 3×3 from one channel (the
// first layer of a network on grey images) and 1×1. In N,H,W,C a row of a filter is a run of kw·c taps side by side.
#pragma once

#include <mica/kernels/conv2d.h>

namespace mica::kernels::direct {

// 3×3 from 1 channel, or 1×1 from channels in sixteens, to channels in sixteens; stride and dilation 1, no padding, one group.
bool applies(const Conv2dDims& d);

// Is it one of those shapes where this was measured to be faster than oneDNN?
bool is_faster(const Conv2dDims& d);

void conv2d_forward(Cpu& cpu, const Conv2dDims& d, const float* x, const float* w, const float* bias, float* y);

// gx may be null, and must be for 3×3; gw and gb may be null. The order of the weight gradient's sums depends on the shape only.
void conv2d_backward(Cpu& cpu, const Conv2dDims& d, const float* x, const float* gy, const float* w, float* gx, float* gw, float* gb);

}  // namespace mica::kernels::direct
