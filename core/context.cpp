#include <mica/core/context.h>
#include <mica/core/error.h>
#include <mica/core/settings.h>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <thread>

#ifdef MICA_CUDA
#include <mica/kernels/cuda/context.h>
#endif
#ifdef MICA_OPENMP
#include <omp.h>
#endif

namespace mica {
namespace {

int default_threads() {
#ifdef MICA_OPENMP
  return omp_get_max_threads();
#else
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
#endif
}

std::atomic<int>& threads_setting() {
  static std::atomic<int> threads = default_threads();
  return threads;
}

}  // namespace

kernels::Cpu& cpu_context() {
  thread_local kernels::Cpu context(threads_setting(), settings());
  return context;
}

LibraryOps library_ops(Device device) {
#ifdef MICA_CUDA
  if (!(device == Device::cpu())) return cuda_context(device).library_ops();
#endif
  return (void)device, LibraryOps{};
}

void set_num_threads(int threads) {
  if (threads < 1 || threads > 1024)
    throw Error(fmt::format("set_num_threads: {} threads asked for; give a number from 1 to 1024", threads));
  threads_setting() = threads;
  cpu_context().set_threads(threads);
}

int num_threads() { return cpu_context().threads(); }

}  // namespace mica
