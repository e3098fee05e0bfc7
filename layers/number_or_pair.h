// A size along H and one along W. A number stands for both, as in PyTorch: Conv2d(1, 16, 3), MaxPool2d({3, 2}).
#pragma once

#include <array>
#include <cstdint>

namespace mica {

struct NumberOrPair {
  NumberOrPair(std::int64_t both) : h(both), w(both) {}
  NumberOrPair(std::int64_t along_h, std::int64_t along_w) : h(along_h), w(along_w) {}
  operator std::array<std::int64_t, 2>() const { return {h, w}; }

  std::int64_t h, w;
};

}  // namespace mica
