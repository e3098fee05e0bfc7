// What a CUDA kernel may use: a stream, scratch memory of that stream, libraries, and facts about the device. One context a device;
// all its work is on one stream, in the order in which it is submitted.
#pragma once

#include <mica/kernels/cuda/handles.h>
#include <mica/kernels/dims.h>
#include <mica/kernels/settings.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace mica::kernels {

// Where a context gets memory. What was given back may be handed out again at once: the stream runs the new owner's work
// after the old one's. Blocks are aligned to 256 bytes.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  virtual void* allocate(std::size_t bytes) = 0;  // never null
  virtual void free(void* pointer, std::size_t bytes) noexcept = 0;
  virtual bool release_unused() { return false; }  // gives what is kept for later back to the device; false: not now, or nothing is kept
};

// Device memory until the end of a scope. Contents undefined.
template <class T>
class Scratch {
 public:
  Scratch(DeviceMemory& memory, i64 count)
      : memory_(memory), bytes_(static_cast<std::size_t>(count) * sizeof(T)), pointer_(static_cast<T*>(memory.allocate(bytes_))) {}
  ~Scratch() { memory_.free(pointer_, bytes_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* get() const { return pointer_; }

 private:
  DeviceMemory& memory_;
  std::size_t bytes_;
  T* pointer_;
};

// The first value of a class or index tensor that watch_range (kernels/gather.h) found out of range, for the host to read
// when it waits for the device anyway. site 0: none yet.
struct RangeFault {
  i64 site, position, value;
};

class Cublas;  // kernels/cuda/cublas.h
class Cudnn;   // kernels/cuda/cudnn.h

class Cuda {
 public:
  Cuda(int device, DeviceMemory& memory, const Settings& settings);

  int device() const { return device_; }
  const Stream& stream() const { return stream_; }
  int multiprocessors() const { return multiprocessors_; }
  bool has_tensor_cores() const { return capability_ >= 8; }  // for TF32
  const Settings& settings() const { return settings_; }

  // Made at the first call; null where the library cannot be used, and why_no_cublas() or why_no_cudnn() says why.
  Cublas* cublas();
  Cudnn* cudnn();
  void leave_libraries() noexcept;  // before the context goes at the end of the program

  // const auto partial = cuda.scratch<double>(blocks);
  template <class T> Scratch<T> scratch(i64 count) { return Scratch<T>(memory_, count); }

  // f(), which calls a library; where that finds too little memory, once more after what nobody uses was given back to the device.
  template <class F>
  auto with_more_memory(const F& f) {
    try {
      return f();
    } catch (const OutOfMemory&) {
      if (!memory_.release_unused()) throw;
    }
    return f();
  }

  LibraryOps library_ops() const { return {done_by_library_, refused_by_library_}; }  // by cuBLAS and cuDNN, so far
  bool by_library(bool done) { return ++(done ? done_by_library_ : refused_by_library_), done; }  // counts one

  // The name of the last kernel that was started in this process, for errors.
  static const char* last_launch() { return last_launch_; }
  static void launched(const char* name) { last_launch_ = name; }

  RangeFault* range_fault() const { return range_fault_.get(); }  // in device memory
  void clear_range_fault();

 private:
  int device_;
  int multiprocessors_ = 0, capability_ = 0;  // capability_: of device and kernels, the major number
  static inline std::atomic<const char*> last_launch_ = "";
  std::atomic<long> done_by_library_ = 0, refused_by_library_ = 0;
  const Settings& settings_;
  Stream stream_;
  DeviceMemory& memory_;
  Scratch<RangeFault> range_fault_;
  std::shared_ptr<Cublas> cublas_;  // shared, because these know how to delete what is declared only
  std::shared_ptr<Cudnn> cudnn_;
};

// Whether the device takes these kernels: cudaSuccess, or why not (no code for it, in use by another program, …).
cudaError_t load_kernels();

// The major compute capability that the kernels were compiled for which this device runs: less than its own where this build has none newer.
int kernel_capability();

}  // namespace mica::kernels
