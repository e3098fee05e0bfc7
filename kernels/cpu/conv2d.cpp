// Which implementation of a convolution runs: f64 the definition, f32 as the context's policy says.
#include <mica/kernels/cpu/conv2d_onednn.h>
#include <mica/kernels/cpu/conv2d_reference.h>

namespace mica::kernels {

#ifndef MICA_ONEDNN
namespace onednn = reference;
#endif

void conv2d_forward(Cpu& cpu, const Conv2dDims& d, const double* x, const double* w, const double* bias, double* y) {
  reference::conv2d_forward(cpu, d, x, w, bias, y);
}
void conv2d_backward_data(Cpu& cpu, const Conv2dDims& d, const double* gy, const double* w, double* gx) {
  reference::conv2d_backward_data(cpu, d, gy, w, gx);
}
void conv2d_backward_weight(Cpu& cpu, const Conv2dDims& d, const double* x, const double* gy, double* gw, double* gb) {
  reference::conv2d_backward_weight(cpu, d, x, gy, gw, gb);
}

void conv2d_forward(Cpu& cpu, const Conv2dDims& d, const float* x, const float* w, const float* bias, float* y) {
  if (cpu.policy() == Policy::native) return reference::conv2d_forward(cpu, d, x, w, bias, y);
  onednn::conv2d_forward(cpu, d, x, w, bias, y);
}
void conv2d_backward_data(Cpu& cpu, const Conv2dDims& d, const float* gy, const float* w, float* gx) {
  if (cpu.policy() == Policy::native) return reference::conv2d_backward_data(cpu, d, gy, w, gx);
  onednn::conv2d_backward_data(cpu, d, gy, w, gx);
}
void conv2d_backward_weight(Cpu& cpu, const Conv2dDims& d, const float* x, const float* gy, float* gw, float* gb) {
  if (cpu.policy() == Policy::native) return reference::conv2d_backward_weight(cpu, d, x, gy, gw, gb);
  onednn::conv2d_backward_weight(cpu, d, x, gy, gw, gb);
}

}  // namespace mica::kernels
