// For tests of what tensor cores do.
#pragma once

#include "no_device.h"

#include <mica/core/context.h>
#include <mica/core/settings.h>
#ifdef MICA_CUDA
#include <mica/kernels/cuda/context.h>
#endif

namespace mica::test {

// Says where there are none: older devices, and none.
inline bool no_tensor_cores() {
  if (no_device()) return true;
#ifdef MICA_CUDA
  if (cuda_context(Device::cuda()).has_tensor_cores()) return false;
  WARN("skipped: this device, or this build for it, has no tensor cores for TF32");
#endif
  return true;
}

// In a scope: may convolutions in f32 round their operands to TF32?
struct Tf32Allowed {
  explicit Tf32Allowed(bool allowed) : before(cudnn_tf32_allowed()) { allow_cudnn_tf32(allowed); }
  ~Tf32Allowed() { allow_cudnn_tf32(before); }
  Tf32Allowed(const Tf32Allowed&) = delete;
  Tf32Allowed& operator=(const Tf32Allowed&) = delete;
  bool before;
};

}  // namespace mica::test
