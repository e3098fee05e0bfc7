// What a CPU kernel may use: threads, scratch memory, and oneDNN's primitives kept by shape. Kernels take it as their
// first argument and allocate nothing themselves. A context belongs to one calling thread.
#pragma once

#include <cstddef>
#include <memory>

namespace mica::kernels {

// Which of an op's implementations runs, where there are several.
enum class Policy {
  automatic,  // the one that was measured to be faster
  native,     // our own
  library,    // oneDNN's wherever it can do the op and the build has it
};

class PrimitiveCache;  // kernels/cpu/onednn.h; empty in a build without oneDNN

class Cpu {
 public:
  explicit Cpu(int threads, Policy policy = Policy::automatic);
  ~Cpu();
  Cpu(const Cpu&) = delete;
  Cpu& operator=(const Cpu&) = delete;

  int threads() const { return threads_; }
  void set_threads(int threads);  // >= 1

  Policy policy() const { return policy_; }
  void set_policy(Policy policy) { policy_ = policy; }

  // At least `bytes`, aligned to 64, contents undefined, valid until the next call of scratch().
  void* scratch(std::size_t bytes);
  template <class T> T* scratch(std::size_t count) { return static_cast<T*>(scratch(count * sizeof(T))); }

  PrimitiveCache& primitives() { return *primitives_; }

 private:
  int threads_;
  Policy policy_;
  void* scratch_ = nullptr;
  std::size_t scratch_bytes_ = 0;
  std::unique_ptr<PrimitiveCache> primitives_;
};

}  // namespace mica::kernels
