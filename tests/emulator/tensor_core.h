// A product of a whole warp, as tensor cores make it; its fragments are those of the PTX manual (kernels/cuda/tensor_core.h).
#pragma once

#include "multiprocessor.h"

#include <algorithm>
#include <array>

namespace emulator {

struct TensorCoreLane {
  std::array<float, 4> a;
  std::array<float, 2> b;
  std::array<float, 4> d;
};

inline void mma_m16n8k8_tf32(float (&d)[4], std::array<float, 4> a, std::array<float, 2> b, const Place& at = Place::current()) {
  TensorCoreLane lane{a, b, {d[0], d[1], d[2], d[3]}};
  multiprocessor().warp_function(WarpFunction::tensor_product, ~0u, reinterpret_cast<std::uintptr_t>(&lane), 0, at);
  std::copy(lane.d.begin(), lane.d.end(), d);
}

}  // namespace emulator
