// Convolution 3×3 with stride 1 by Winograd's F(2×2, 3×3): four outputs from a tile of 4×4 inputs with 16 products where
// the definition takes 36. With ⊙ for products element by element, summed over channels (or, for gw, over tiles):
//   y = Aᵀ [(G w Gᵀ) ⊙ (Bᵀ x B)] A      gx = B [(G w Gᵀ) ⊙ (A gy Aᵀ)] Bᵀ      gw = Gᵀ [(A gy Aᵀ) ⊙ (Bᵀ x B)] G
// where tiles of gx overlap and are added.
// The transforms only add and halve: on small integers results are exact, and otherwise errors are those of the definition.
// Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016.
#pragma once

#include <mica/kernels/conv2d.h>

namespace mica::kernels::winograd {

// 3×3, stride and dilation 1, one group, channels in sixteens: what the functions below can do.
bool applies(const Conv2dDims& d);

// Is it one of those shapes where this was measured to be faster than oneDNN?
bool is_faster(const Conv2dDims& d);

void conv2d_forward(Cpu& cpu, const Conv2dDims& d, const float* x, const float* w, const float* bias, float* y);

// Both gradients, which share the transformed gy. gx, or gw with gb, may be null, and gb alone. The order of the weight
// gradient's sums depends on the shape only.
void conv2d_backward(Cpu& cpu, const Conv2dDims& d, const float* x, const float* gy, const float* w, float* gx, float* gw, float* gb);

}  // namespace mica::kernels::winograd
