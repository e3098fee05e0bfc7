// In a scope: may convolutions in f32 round their operands to TF32?
#pragma once

#include <mica/core/settings.h>

namespace mica::test {

struct Tf32Allowed {
  explicit Tf32Allowed(bool allowed) : before(cudnn_tf32_allowed()) { allow_cudnn_tf32(allowed); }
  ~Tf32Allowed() { allow_cudnn_tf32(before); }
  Tf32Allowed(const Tf32Allowed&) = delete;
  Tf32Allowed& operator=(const Tf32Allowed&) = delete;
  bool before;
};

}  // namespace mica::test
