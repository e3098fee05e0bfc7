// A program with one bug and the same program without it. The emulator must say what is wrong with the first, and nothing
// about the second, whatever the schedule and the order.
#pragma once

#include <mica/kernels/cuda/context.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace planted {

// Memory without a cache: each array is an allocation of the emulator.
struct PlainMemory final : mica::kernels::DeviceMemory {
  void* allocate(std::size_t bytes) override;
  void free(void* pointer, std::size_t bytes) noexcept override;
};

// What every program starts from: a stream and 64 floats.
struct Bench {
  Bench();
  PlainMemory memory;
  mica::kernels::Settings settings;
  mica::kernels::Cuda cuda;
  mica::kernels::Scratch<float> array;
  float* d;
};

// When a bug must be seen. It may be seen at other times too.
enum When : unsigned {
  lazy = 1,
  eager = 2,
  random_order = 4,  // in one of the random schedules
  always = lazy | eager | random_order,
  late = lazy | random_order,  // needs a device that is behind the host
  with_asan = 8,               // only in a build with AddressSanitizer and UBSan
  with_tsan = 16,              // only in one with ThreadSanitizer
  without_tsan = 32,           // needs what ThreadSanitizer's build leaves out
};

struct Program {
  std::string name;
  std::string evidence;  // a regular expression that what is said about the bug must contain
  unsigned seen;         // of When
  void (*run)(Bench& bench, bool bug);
};
std::vector<Program> barrier_bugs();
std::vector<Program> bounds_bugs();
std::vector<Program> race_bugs();
std::vector<Program> host_bugs();       // between host, copies and kernels
std::vector<Program> capture_bugs();    // in graphs
std::vector<Program> allocator_bugs();  // of tensors, whose memory is cached
std::vector<Program> cublas_bugs();
std::vector<Program> cudnn_bugs();      // in calls of cuDNN

inline void expect(bool condition, const char* otherwise) {
  if (!condition) throw std::runtime_error(otherwise);
}

// ---- kernels, on any stream ----

void fill(mica::kernels::Cuda& cuda, float* p, float value, int n);
std::vector<float> host(mica::kernels::Cuda& cuda, const float* p, int n);

}  // namespace planted
