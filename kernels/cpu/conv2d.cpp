// Which implementation of a convolution runs: f64 the definition, f32 as the context's policy says.
#include <mica/kernels/cpu/conv2d_direct.h>
#include <mica/kernels/cpu/conv2d_reference.h>
#include <mica/kernels/cpu/conv2d_winograd.h>

#ifdef MICA_ONEDNN
#include <mica/kernels/cpu/conv2d_onednn.h>
constexpr bool has_onednn = true;
#else
namespace mica::kernels::onednn {
using namespace reference;
}
constexpr bool has_onednn = false;
#endif

namespace mica::kernels {

void conv2d_forward(Cpu& cpu, const Conv2dDims& d, const double* x, const double* w, const double* bias, double* y) {
  reference::conv2d_forward(cpu, d, x, w, bias, y);
}
void conv2d_backward(Cpu& cpu, const Conv2dDims& d, const double* x, const double* gy, const double* w, double* gx, double* gw, double* gb) {
  if (gx) reference::conv2d_backward_data(cpu, d, gy, w, gx);
  if (gw) reference::conv2d_backward_weight(cpu, d, x, gy, gw, gb);
}

namespace {

enum class Kernel { reference, onednn, winograd, direct };

Kernel choose(const Cpu& cpu, const Conv2dDims& d, bool need_gx) {
  const bool direct_can = direct::applies(d) && (d.kh == 1 || !need_gx);
  const Policy policy = cpu.settings().policy(LibraryOp::conv2d);
  const bool automatic = policy == Policy::automatic && has_onednn;
  if (policy == Policy::library) return Kernel::onednn;
  if (automatic ? winograd::is_faster(d) : winograd::applies(d)) return Kernel::winograd;
  if (direct_can && (!automatic || direct::is_faster(d))) return Kernel::direct;
  return automatic ? Kernel::onednn : Kernel::reference;
}

}  // namespace

void conv2d_forward(Cpu& cpu, const Conv2dDims& d, const float* x, const float* w, const float* bias, float* y) {
  switch (choose(cpu, d, false)) {
    case Kernel::reference: return reference::conv2d_forward(cpu, d, x, w, bias, y);
    case Kernel::onednn: return onednn::conv2d_forward(cpu, d, x, w, bias, y);
    case Kernel::winograd: return winograd::conv2d_forward(cpu, d, x, w, bias, y);
    case Kernel::direct: return direct::conv2d_forward(cpu, d, x, w, bias, y);
  }
}

void conv2d_backward(Cpu& cpu, const Conv2dDims& d, const float* x, const float* gy, const float* w, float* gx, float* gw, float* gb) {
  switch (choose(cpu, d, gx)) {
    case Kernel::reference:
      if (gx) reference::conv2d_backward_data(cpu, d, gy, w, gx);
      if (gw) reference::conv2d_backward_weight(cpu, d, x, gy, gw, gb);
      return;
    case Kernel::onednn:
      if (gx) onednn::conv2d_backward_data(cpu, d, gy, w, gx);
      if (gw) onednn::conv2d_backward_weight(cpu, d, x, gy, gw, gb);
      return;
    case Kernel::winograd: return winograd::conv2d_backward(cpu, d, x, gy, w, gx, gw, gb);
    case Kernel::direct: return direct::conv2d_backward(cpu, d, x, gy, w, gx, gw, gb);
  }
}

}  // namespace mica::kernels
