// For tests that need a CUDA device, emulated or real: if (no_cuda()) return;
#pragma once

#include "../catch.h"

#include <mica/core/device.h>

namespace mica::test {

// Says so where there is none.
inline bool no_cuda() {
  const std::string reason = why_no_cuda();
  if (!reason.empty()) WARN("skipped: " << reason);
  return !reason.empty();
}

}  // namespace mica::test
