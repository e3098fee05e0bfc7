// For tests that need a CUDA device, one of this machine or the emulated one: says where there is none.
#pragma once

#include "catch.h"

#include <mica/core/device.h>

#include <cstdint>

namespace mica::test {

inline bool no_device() {
  const std::string reason = why_no_cuda();
  if (!reason.empty()) WARN("skipped: " << reason);
  return !reason.empty();
}

// A size that only hardware does in a moment. The emulated device gets an eighth, which its four multiprocessors still share.
constexpr std::int64_t large(std::int64_t n) {
#ifdef MICA_CUDA_EMULATED
  return n / 8 | 1;
#else
  return n;
#endif
}

}  // namespace mica::test
