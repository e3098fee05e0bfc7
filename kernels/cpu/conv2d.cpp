#include <mica/kernels/cpu/conv2d_reference.h>

namespace mica::kernels {

void conv2d_forward(Cpu& cpu, const Conv2dDims& d, const double* x, const double* w, const double* bias, double* y) {
  reference::conv2d_forward(cpu, d, x, w, bias, y);
}
void conv2d_backward_data(Cpu& cpu, const Conv2dDims& d, const double* gy, const double* w, double* gx) {
  reference::conv2d_backward_data(cpu, d, gy, w, gx);
}
void conv2d_backward_weight(Cpu& cpu, const Conv2dDims& d, const double* x, const double* gy, double* gw, double* gb) {
  reference::conv2d_backward_weight(cpu, d, x, gy, gw, gb);
}

#ifndef MICA_ONEDNN  // otherwise in conv2d_onednn.cpp
void conv2d_forward(Cpu& cpu, const Conv2dDims& d, const float* x, const float* w, const float* bias, float* y) {
  reference::conv2d_forward(cpu, d, x, w, bias, y);
}
void conv2d_backward_data(Cpu& cpu, const Conv2dDims& d, const float* gy, const float* w, float* gx) {
  reference::conv2d_backward_data(cpu, d, gy, w, gx);
}
void conv2d_backward_weight(Cpu& cpu, const Conv2dDims& d, const float* x, const float* gy, float* gw, float* gb) {
  reference::conv2d_backward_weight(cpu, d, x, gy, gw, gb);
}
#endif

}  // namespace mica::kernels
