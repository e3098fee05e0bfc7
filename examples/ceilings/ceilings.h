// What a machine can do at most, measured in the run that is compared with it: mnist --profile and benchmarks/kernels do.
#pragma once

#include <mica/core/device.h>

#include <algorithm>
#include <cstddef>
#include <functional>

namespace mica::bench {

struct Ceilings {
  double copy_bandwidth = 0;  // bytes read and written a second
  double flops = 0;           // of f32 multiply-adds, two each, a second
  double launch = 0;          // seconds from one empty kernel to the next; CUDA only
  // The least seconds that this work can take.
  double floor(double bytes, double work) const { return std::max(bytes / copy_bandwidth, work / flops); }
  bool by_bytes(double bytes, double work) const { return bytes / copy_bandwidth >= work / flops; }
};

// Takes a second, and memory of twice the last cache or more on the CPU and of 2 GiB on CUDA, which is given back to the system.
// small: of little memory, for tests. stop is asked between repeats; then the best so far counts.
Ceilings measure_ceilings(Device device, bool small, const std::function<bool()>& stop);

std::size_t last_cache_bytes(Device device);
bool is_emulated(Device device);  // then its times say nothing

}  // namespace mica::bench
