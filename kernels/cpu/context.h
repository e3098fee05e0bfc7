// What a CPU kernel may use: threads, scratch memory, and oneDNN's primitives kept by shape. Kernels take it as their
// first argument and allocate nothing themselves. A context belongs to one calling thread.
#pragma once

#include <mica/kernels/settings.h>

#include <cstddef>
#include <memory>

namespace mica::kernels {

class PrimitiveCache;  // kernels/cpu/onednn.h; empty in a build without oneDNN

class Cpu {
 public:
  Cpu(int threads, const Settings& settings);
  ~Cpu();
  Cpu(const Cpu&) = delete;
  Cpu& operator=(const Cpu&) = delete;

  int threads() const { return threads_; }
  void set_threads(int threads);  // >= 1

  const Settings& settings() const { return settings_; }

  // At least `bytes`, aligned to 64, contents undefined, valid until the next call of scratch().
  void* scratch(std::size_t bytes);
  template <class T> T* scratch(std::size_t count) { return static_cast<T*>(scratch(count * sizeof(T))); }

  PrimitiveCache& primitives() { return *primitives_; }

 private:
  int threads_;
  const Settings& settings_;
  void* scratch_ = nullptr;
  std::size_t scratch_bytes_ = 0;
  std::unique_ptr<PrimitiveCache> primitives_;
};

}  // namespace mica::kernels
