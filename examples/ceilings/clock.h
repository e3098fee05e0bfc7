// Microseconds of work on a backend's own clock, and the memory that cases run in.
#pragma once

#include <mica/core/device.h>
#include <mica/core/memory.h>
#include <mica/kernels/context.h>
#include <mica/kernels/dims.h>

#include <chrono>

#ifdef MICA_CUDA
#include <mica/kernels/cuda/context.h>
#endif

namespace mica::bench {

using kernels::Cpu;
using kernels::Cuda;
using kernels::i64;

inline Device device_of(Cpu&) { return Device::cpu(); }

template <class F>
double microseconds(Cpu&, const F& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

#ifdef MICA_CUDA
inline Device device_of(Cuda& cuda) { return Device::cuda(cuda.device()); }

// Between two events of the stream; the device is idle before.
template <class F>
double microseconds(Cuda& cuda, const F& f) {
  kernels::Event begin(kernels::Event::timed), end(kernels::Event::timed);
  synchronize(device_of(cuda));
  begin.record(cuda.stream());
  f();
  end.record(cuda.stream());
  synchronize(device_of(cuda));
  return end.microseconds_since(begin);
}
#endif

// Device memory of its own, given back at its end.
class Arena {
 public:
  Arena(Device device, std::size_t bytes) : device_(device), bytes_(bytes), base_(static_cast<std::byte*>(allocate(device, bytes))) {}
  ~Arena() { deallocate(device_, base_, bytes_); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  std::byte* base() const { return base_; }
  std::size_t bytes() const { return bytes_; }

 private:
  Device device_;
  std::size_t bytes_;
  std::byte* base_;
};

}  // namespace mica::bench
