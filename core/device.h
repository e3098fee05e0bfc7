// Where a tensor's elements live: the CPU, or a CUDA device where the build and the machine have one.
#pragma once

#include <string>

namespace mica {

class Device {
 public:
  enum class Kind { cpu, cuda };

  constexpr Device() = default;
  static constexpr Device cpu() { return Device(Kind::cpu, 0); }
  static Device cuda(int index = 0);  // throws DeviceError where the build or the machine has none; 0 only, so far

  constexpr Kind kind() const { return kind_; }
  constexpr int index() const { return index_; }
  constexpr bool operator==(const Device&) const = default;

 private:
  constexpr Device(Kind kind, int index) : kind_(kind), index_(index) {}
  Kind kind_ = Kind::cpu;
  int index_ = 0;
};

std::string to_string(Device device);  // "cpu", "cuda:0"

// Empty where CUDA can be used, otherwise one sentence that says why it cannot.
std::string why_no_cuda();

}  // namespace mica
