#include <mica/core/cuda/memory_checker.h>

#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <vector>

namespace mica {

using kernels::check;
using kernels::GuardedBuffer;
using kernels::MemoryFault;

namespace {

#ifdef MICA_CUDA_EMULATED
constexpr bool by_default = true;
#else
constexpr bool by_default = false;
#endif

void clear(kernels::Cuda& cuda, MemoryFault* fault) {
  check(cudaMemsetAsync(fault, 0, sizeof *fault, cuda.stream().get()), "clearing device memory");
}

}  // namespace

bool MemoryChecker::wanted() {
  const char* const value = std::getenv("MICA_CUDA_CHECK_MEMORY");
  return value && *value ? std::strcmp(value, "0") != 0 : by_default;
}

MemoryChecker::MemoryChecker(kernels::Cuda& cuda) : cuda_(cuda), fault_(cuda.scratch<MemoryFault>(1)), copy_(sizeof(MemoryFault)) {
  clear(cuda_, fault_.get());
}

void MemoryChecker::handed_out(void* block, std::size_t bytes, std::size_t size) {
  const GuardedBuffer buffer{static_cast<unsigned char*>(block), bytes, size};
  const auto known = unused_.extract(block);  // where something below fails, it is a new block the next time
  if (recording_) {
    changed_.insert(block);
  } else {
    set_bounds(cuda_, buffer, size);
    if (known.empty()) clear_unused(cuda_, buffer);
    else check_unused(cuda_, known.mapped(), fault_.get());
  }
  write(buffer);
  in_use_.emplace(block, buffer);
}

void MemoryChecker::write(const GuardedBuffer& buffer) {
  set_bounds(cuda_, buffer, buffer.size);
  write_canary(cuda_, buffer);
  set_bounds(cuda_, buffer, buffer.bytes);
}

std::size_t MemoryChecker::given_back(void* block) noexcept {
  const auto unwatched = unwatched_.extract(block);
  if (!unwatched.empty()) return unwatched.mapped();
  auto known = in_use_.extract(block);
  if (known.empty()) return 0;
  const GuardedBuffer buffer = known.mapped();
  try {
    if (recording_) {
      changed_.insert(block);
    } else {
      set_bounds(cuda_, buffer, buffer.size);
      check_canaries(cuda_, {&buffer, 1}, fault_.get());
      clear_unused(cuda_, buffer);
      set_bounds(cuda_, buffer, 0);
    }
    unused_.insert(std::move(known));
  } catch (...) {  // then it is a new block the next time
  }
  return buffer.size;
}

void MemoryChecker::forget(void* block) noexcept { unused_.erase(block), in_use_.erase(block); }

void MemoryChecker::end_recording(const std::function<bool(void* block)>& open) noexcept {
  recording_ = false;
  for (void* block : std::exchange(changed_, {})) {
    const auto used = in_use_.find(block), unused = unused_.find(block);
    try {
      if (used != in_use_.end()) write(used->second);
      else if (unused != unused_.end() && open(block)) set_bounds(cuda_, unused->second, unused->second.size);
      else close(block);
    } catch (...) {  // without a canary it can no longer be watched
      if (used != in_use_.end()) unwatched_.emplace(block, used->second.size), in_use_.erase(used);
    }
  }
}

void MemoryChecker::close(void* block) noexcept {
  const auto known = unused_.find(block);
  if (known == unused_.end()) return;
  try {
    set_bounds(cuda_, known->second, known->second.size);
    clear_unused(cuda_, known->second);
    set_bounds(cuda_, known->second, 0);
  } catch (...) {  // as in given_back
    unused_.erase(known);
  }
}

void MemoryChecker::check_all() {
  std::vector<GuardedBuffer> buffers;
  for (const auto& [block, buffer] : in_use_) buffers.push_back(buffer);
  check_canaries(cuda_, buffers, fault_.get());
  check(cudaMemcpyAsync(copy_.get(), fault_.get(), sizeof(MemoryFault), cudaMemcpyDeviceToHost, cuda_.stream().get()),
        "copying from the device");
}

std::string MemoryChecker::found() {
  const auto fault = *static_cast<const MemoryFault*>(copy_.get());
  if (fault.kind == MemoryFault::none) return {};
  clear(cuda_, fault_.get());
  const std::string where = fmt::format("cuda:{}: a kernel wrote to byte {} ", cuda_.device(), fault.byte);
  const std::string what = fault.kind == MemoryFault::past_end ? fmt::format("past the end of a buffer of {} bytes", fault.bytes)
                                                               : fmt::format("of a buffer of {} bytes after it was given back", fault.bytes);
  return where + what + "; compute-sanitizer, or the emulated build under AddressSanitizer, names the kernel";
}

}  // namespace mica
