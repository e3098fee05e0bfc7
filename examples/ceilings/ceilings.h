// What a machine can do at most, measured in the run that is compared with it: mnist --profile and benchmarks/kernels do.
#pragma once

#include <mica/core/device.h>

#include <algorithm>
#include <cstddef>
#include <functional>

namespace mica::bench {

// How f32 values are multiplied: by multiply-adds, by tensor cores after rounding them to TF32, or by tensor cores as three such products,
// with f32's error.
enum class Products { f32, tf32, three_tf32 };

struct Ceilings {
  double copy_bandwidth = 0;  // bytes read and written a second
  double flops = 0;           // of f32 multiply-adds, two each, a second
  double tf32_flops = 0;      // of tensor cores in TF32, by mma; 0 where there are none
  double launch = 0, graph_launch = 0;  // seconds from one empty kernel to the next, called and replayed as a graph (0: no graphs); CUDA only

  // Tensor cores count where they are the faster way.
  double by_tensor_cores(Products products) const { return products == Products::f32 ? 0 : products == Products::tf32 ? tf32_flops : tf32_flops / 3; }
  double rate(Products products) const { return std::max(flops, by_tensor_cores(products)); }
  // The least seconds that this work can take, and what takes them.
  double floor(double bytes, double work, Products products) const { return std::max(bytes / copy_bandwidth, work / rate(products)); }
  const char* binding(double bytes, double work, Products products) const {
    if (bytes / copy_bandwidth >= work / rate(products)) return "copy";
    if (by_tensor_cores(products) <= flops) return "FMA";
    return products == Products::tf32 ? "TF32" : "TF32/3";
  }
};

// Takes a second, and memory of twice the last cache or more on the CPU and of 2 GiB on CUDA, which is given back to the system.
// small: of little memory, for tests. stop is asked between repeats; then the best so far counts.
Ceilings measure_ceilings(Device device, bool small, const std::function<bool()>& stop);

std::size_t last_cache_bytes(Device device);
bool is_emulated(Device device);  // then its times say nothing

}  // namespace mica::bench
