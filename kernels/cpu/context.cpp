#include <mica/kernels/cpu/context.h>
#include <mica/kernels/cpu/onednn.h>

#include <cstdlib>
#include <new>

namespace mica::kernels {

Cpu::Cpu(int threads, const Settings& settings) : threads_(threads), settings_(settings), primitives_(std::make_unique<PrimitiveCache>()) {
  set_threads(threads);
}

Cpu::~Cpu() { std::free(scratch_); }

void Cpu::set_threads(int threads) {
  threads_ = threads;
  primitives_->set_threads(threads);
}

void* Cpu::scratch(std::size_t bytes) {
  if (bytes > scratch_bytes_) {
    const std::size_t rounded = (bytes + bytes / 4 + 63) / 64 * 64;
    std::free(scratch_);
    scratch_bytes_ = 0;
    scratch_ = std::aligned_alloc(64, rounded);
    if (!scratch_) throw std::bad_alloc();
    scratch_bytes_ = rounded;
  }
  return scratch_;
}

}  // namespace mica::kernels
