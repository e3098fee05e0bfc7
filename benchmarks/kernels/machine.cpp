#include "machine.h"

#include "clock.h"

#include <commit.h>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <sys/resource.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <thread>

namespace mica::bench {
namespace {

// "name : value" of the first processor.
std::string cpuinfo(const std::string& name) {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(name)) return line.substr(std::min(line.size(), line.find(':') + 2));
  return {};
}

}  // namespace

std::size_t last_cache_bytes(Cpu&) {
  std::size_t kilobytes = 0;
  for (int index = 0; index < 8; ++index) {
    std::ifstream in(fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/size", index));
    std::size_t size = 0;
    if (in >> size) kilobytes = std::max(kilobytes, size);
  }
  return kilobytes ? kilobytes * 1024 : std::size_t{32} << 20;
}

Machine machine_of(Cpu& cpu) {
  const std::string mhz = cpuinfo("cpu MHz"), model = cpuinfo("model name");
  const std::string about =
      fmt::format("family {}, model {}, {} cores", cpuinfo("cpu family"), cpuinfo("model\t"), std::thread::hardware_concurrency());
  return {"cpu", model.empty() ? "unknown" : model, about, false, mhz.empty() ? 0 : std::stod(mhz), cpu.threads(), last_cache_bytes(cpu)};
}

#ifdef MICA_CUDA
namespace {

int attribute(cudaDeviceAttr which, Cuda& cuda) {
  int value = 0;
  kernels::check(cudaDeviceGetAttribute(&value, which, cuda.device()), "asking for a device's properties");
  return value;
}

}  // namespace

std::size_t last_cache_bytes(Cuda& cuda) { return static_cast<std::size_t>(attribute(cudaDevAttrL2CacheSize, cuda)); }

Machine machine_of(Cuda& cuda) {
  cudaDeviceProp properties;
  kernels::check(cudaGetDeviceProperties(&properties, cuda.device()), "asking for a device's properties");
  int driver = 0, runtime = 0;
  kernels::check(cudaDriverGetVersion(&driver), "asking for the driver's version");
  kernels::check(cudaRuntimeGetVersion(&runtime), "asking for the runtime's version");
  const std::string about =
      fmt::format("sm_{}{}, {} multiprocessors, driver for CUDA {}.{}, runtime {}.{}", properties.major, properties.minor,
                  properties.multiProcessorCount, driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
#ifdef MICA_CUDA_EMULATED
  constexpr bool emulated = true;
#else
  constexpr bool emulated = false;
#endif
  return {to_string(device_of(cuda)), properties.name, about, emulated, attribute(cudaDevAttrClockRate, cuda) * 1e-3, 0,
          last_cache_bytes(cuda)};
}
#endif

long involuntary_switches() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nivcsw;
}

std::string commit() { return MICA_COMMIT; }
std::string date() { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))); }

}  // namespace mica::bench
