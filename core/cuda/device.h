// One CUDA device: its memory, its context for kernels, and copies between it and the host through pinned staging buffers.
#pragma once

#include <mica/core/cuda/allocator.h>
#include <mica/core/device.h>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mica {

struct CudaDevice {
  explicit CudaDevice(int index);

  // `what` names the caller in errors.
  void upload(const char* what, void* target, const void* source, std::size_t bytes);    // returns when source has been read
  void download(const char* what, void* target, const void* source, std::size_t bytes);  // returns when target is written
  void copy(void* target, const void* source, std::size_t bytes);                        // on the device
  void synchronize(const char* what);

  // While a graph is recorded, the stream does nothing, and all three of these but copy() are Errors.
  void begin_recording();
  void end_recording() noexcept;  // what was watched meanwhile is the graph's: it stays until forgotten
  std::vector<int> take_recorded_sites() { return std::exchange(recorded_sites_, {}); }
  void forget_sites(const std::vector<int>& sites) noexcept;

  // description is what a later synchronisation throws as an Error if the kernel that `launch` gives this site to finds a value
  // out of range. Every most_watched-th call is such a synchronisation.
  using Description = std::function<std::string(std::int64_t position, std::int64_t value)>;
  void watch(Description description, const std::function<void(int site)>& launch);

  void close() noexcept;

  CudaAllocator allocator;
  std::unique_ptr<kernels::Cuda> context;

 private:
  struct Staging {
    explicit Staging(std::size_t bytes) : memory(bytes) {}
    kernels::Pinned memory;
    kernels::Event copied;
    bool in_flight = false;  // an error came before `copied` was recorded
  };
  Staging& next_staging();
  void require_not_recording(const char* what) const;
  void finish();  // waits, then throws what kernels found
  std::string finish_watched();  // waits; the text about a watched value that is out of range, or nothing

  static constexpr std::size_t most_watched = 4096;
  std::mutex transfer_;  // of everything below, and of the order of launches that have a site
  std::array<std::optional<Staging>, 8> staging_;  // in turn
  std::size_t next_staging_ = 0;
  std::unique_ptr<kernels::Pinned> fault_;
  std::vector<Description> watched_;  // since the last synchronisation; sites count from 1 to most_watched
  struct Recorded {
    Description description;
    bool forgotten = false;  // its graph is gone
  };
  std::map<int, Recorded> recorded_;     // in graphs; sites count on from there
  std::vector<int> recorded_sites_;      // in the graph that is or was recorded last
  int next_recorded_ = most_watched + 1;
  bool recording_ = false;
};

CudaDevice& cuda_device(Device device);  // made at its first use
CudaDevice& existing_cuda_device() noexcept;

// How many devices there are; where there is none, why.
int cuda_device_count(std::string& reason);

}  // namespace mica
