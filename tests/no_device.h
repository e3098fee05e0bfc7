// For tests that need a CUDA device, one of this machine or the emulated one: says where there is none.
#pragma once

#include "catch.h"

#include <mica/core/device.h>

namespace mica::test {

inline bool no_device() {
  const std::string reason = why_no_cuda();
  if (!reason.empty()) WARN("skipped: " << reason);
  return !reason.empty();
}

}  // namespace mica::test
