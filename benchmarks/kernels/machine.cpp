#include "machine.h"

#include "../../examples/ceilings/ceilings.h"
#include "../../examples/ceilings/clock.h"

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

Machine machine_of(Cpu& cpu) {
  const std::string mhz = cpuinfo("cpu MHz"), model = cpuinfo("model name");
  const std::string about =
      fmt::format("family {}, model {}, {} cores", cpuinfo("cpu family"), cpuinfo("model\t"), std::thread::hardware_concurrency());
  return {"cpu", model.empty() ? "unknown" : model, about, false, mhz.empty() ? 0 : std::stod(mhz), cpu.threads(), last_cache_bytes(Device::cpu())};
}

#ifdef MICA_CUDA
namespace {

int attribute(cudaDeviceAttr which, Cuda& cuda) {
  int value = 0;
  kernels::check(cudaDeviceGetAttribute(&value, which, cuda.device()), "asking for a device's properties");
  return value;
}

}  // namespace

Machine machine_of(Cuda& cuda) {
  cudaDeviceProp properties;
  kernels::check(cudaGetDeviceProperties(&properties, cuda.device()), "asking for a device's properties");
  int driver = 0, runtime = 0;
  kernels::check(cudaDriverGetVersion(&driver), "asking for the driver's version");
  kernels::check(cudaRuntimeGetVersion(&runtime), "asking for the runtime's version");
  const std::string about =
      fmt::format("sm_{}{}, {} multiprocessors, driver for CUDA {}.{}, runtime {}.{}", properties.major, properties.minor,
                  properties.multiProcessorCount, driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
  const Device device = device_of(cuda);
  return {to_string(device), properties.name, about, is_emulated(device), attribute(cudaDevAttrClockRate, cuda) * 1e-3, 0,
          last_cache_bytes(device)};
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
