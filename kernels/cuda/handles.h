// Streams, events and pinned memory that free themselves.
#pragma once

#include <mica/kernels/cuda/check.h>

#include <cstddef>
#include <utility>

namespace mica::kernels {

// Any handle of a C interface to the device. Destructors ignore errors. Once the device is lost, they call nothing and nobody gets
// a handle to call anything with.
template <class T, auto destroy>
class Owned {
 public:
  Owned() = default;
  Owned(Owned&& other) noexcept : handle_(std::exchange(other.handle_, T{})) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Owned() {
    if (handle_ && !device_lost()) (void)destroy(handle_);
  }
  T get() const { return require_device(), handle_; }
  T* out() { return require_device(), &handle_; }

 private:
  T handle_{};
};

// Does not wait for the legacy default stream, nor it for this one.
class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(stream_.out(), cudaStreamNonBlocking), "making a stream"); }
  cudaStream_t get() const { return stream_.get(); }
  void synchronize() const { check(cudaStreamSynchronize(get()), "waiting for the device"); }
  bool recorded() const {  // into a graph
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    check(cudaStreamIsCapturing(get(), &status), "asking for a stream's capture");
    return status != cudaStreamCaptureStatusNone;
  }

 private:
  Owned<cudaStream_t, cudaStreamDestroy> stream_;
};

// A mark in a stream's work. Without its time, which costs, unless that is asked for.
class Event {
 public:
  static constexpr unsigned timed = cudaEventDefault;
  explicit Event(unsigned flags = cudaEventDisableTiming) { check(cudaEventCreateWithFlags(event_.out(), flags), "making an event"); }
  cudaEvent_t get() const { return event_.get(); }
  void record(const Stream& stream) { check(cudaEventRecord(get(), stream.get()), "recording an event"); }
  void synchronize() const { check(cudaEventSynchronize(get()), "waiting for the device"); }
  double microseconds_since(const Event& earlier) const {  // both timed, and the device got to both
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, earlier.get(), get()), "reading the time between events");
    return static_cast<double>(milliseconds) * 1e3;
  }

 private:
  Owned<cudaEvent_t, cudaEventDestroy> event_;
};

// Host memory that the device can copy from and to while the host goes on.
class Pinned {
 public:
  explicit Pinned(std::size_t bytes) { check(cudaMallocHost(memory_.out(), bytes), "allocating pinned memory"); }
  void* get() const { return memory_.get(); }

 private:
  Owned<void*, cudaFreeHost> memory_;
};

}  // namespace mica::kernels
