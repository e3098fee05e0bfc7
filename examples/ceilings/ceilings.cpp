#include "ceilings.h"

#include "clock.h"

#include <mica/core/cuda_graph.h>
#include <mica/core/error.h>
#include <mica/core/context.h>
#include <mica/kernels/cpu/parallel.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>

#ifdef MICA_CUDA
#include "ceilings_cuda.h"
#endif

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mica::bench {
namespace {

using Stop = std::function<bool()>;

// The shortest of a few: a ceiling is what is possible.
template <class Context, class F>
double least_seconds(Context& context, int repeats, const Stop& stop, const F& f) {
  f();
  double least = microseconds(context, f);
  for (int k = 1; k < repeats && !stop(); ++k) least = std::min(least, microseconds(context, f));
  return least * 1e-6;
}

// ---- multiply-adds of a CPU thread: twelve chains hide the latency of four cycles on two units and more ----

constexpr int chains = 12;
using Chain = float (*)(i64 times);

float plain_chains(i64 times) {
  float a[chains] = {};
  for (i64 k = 0; k < times; ++k)
    for (float& v : a) v = v * 0.999F + 1e-3F;
  float sum = 0;
  for (const float v : a) sum += v;
  return sum;
}
#if defined(__x86_64__)
__attribute__((target("avx512f"))) float avx512_chains(i64 times) {
  __m512 a[chains];
  for (int c = 0; c < chains; ++c) a[c] = _mm512_set1_ps(static_cast<float>(c));
  const __m512 by = _mm512_set1_ps(0.999F), plus = _mm512_set1_ps(1e-3F);
  for (i64 k = 0; k < times; ++k)
#pragma GCC unroll 12
    for (int c = 0; c < chains; ++c) a[c] = _mm512_fmadd_ps(a[c], by, plus);
  float sum = 0;
  for (int c = 0; c < chains; ++c) sum += _mm512_cvtss_f32(a[c]);
  return sum;
}
__attribute__((target("avx2,fma"))) float avx2_chains(i64 times) {
  __m256 a[chains];
  for (int c = 0; c < chains; ++c) a[c] = _mm256_set1_ps(static_cast<float>(c));
  const __m256 by = _mm256_set1_ps(0.999F), plus = _mm256_set1_ps(1e-3F);
  for (i64 k = 0; k < times; ++k)
#pragma GCC unroll 12
    for (int c = 0; c < chains; ++c) a[c] = _mm256_fmadd_ps(a[c], by, plus);
  float sum = 0;
  for (int c = 0; c < chains; ++c) sum += _mm256_cvtss_f32(a[c]);
  return sum;
}
#endif

double flop_rate(Cpu& cpu, Chain chain, int lanes, i64 times, const Stop& stop) {
  const double seconds = least_seconds(cpu, 9, stop, [&] {
    kernels::parallel_for(cpu, cpu.threads(), 1, [&](i64 begin, i64 end) {
      for (i64 thread = begin; thread < end; ++thread) {
        volatile float sink = chain(times);
        (void)sink;
      }
    });
  });
  return 2.0 * chains * lanes * static_cast<double>(times) * cpu.threads() / seconds;
}

Ceilings measure(Cpu& cpu, bool small, const Stop& stop) {
  Ceilings ceilings;
  const std::size_t bytes = small ? std::size_t{32} << 20 : std::max(2 * last_cache_bytes(Device::cpu()), std::size_t{256} << 20);
  const Arena from(Device::cpu(), bytes), to(Device::cpu(), bytes);
  const auto copy = [&](i64 begin, i64 end) {
    std::memcpy(to.base() + begin * 4096, from.base() + begin * 4096, static_cast<std::size_t>(end - begin) * 4096);
  };
  const i64 pages = static_cast<i64>(bytes / 4096);
  kernels::parallel_for(cpu, static_cast<i64>(bytes / 4), 1 << 20, [&](i64 begin, i64 end) {
    for (i64 i = begin; i < end; ++i) reinterpret_cast<float*>(from.base())[i] = static_cast<float>(i & 0xffff);
  });
  ceilings.copy_bandwidth = 2 * static_cast<double>(bytes) / least_seconds(cpu, 7, stop, [&] { kernels::parallel_for(cpu, pages, 1, copy); });

  constexpr i64 times = 2'000'000;
  ceilings.flops = flop_rate(cpu, plain_chains, 1, times / 16, stop);
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    ceilings.flops = std::max(ceilings.flops, flop_rate(cpu, avx2_chains, 8, times, stop));
  if (__builtin_cpu_supports("avx512f")) ceilings.flops = std::max(ceilings.flops, flop_rate(cpu, avx512_chains, 16, times, stop));
#endif
  return ceilings;
}

#ifdef MICA_CUDA
Ceilings measure(Cuda& cuda, bool small, const Stop& stop) {
  Ceilings ceilings;
  const std::size_t bytes = small ? std::size_t{1} << 16 : std::size_t{1} << 30;
  {
    const Arena from(device_of(cuda), bytes), to(device_of(cuda), bytes);
    kernels::check(cudaMemsetAsync(from.base(), 0x3f, bytes, cuda.stream().get()), "filling device memory");
    const double by_kernel = least_seconds(cuda, 9, stop, [&] { copy_all(cuda, bytes, from.base(), to.base()); });
    const double by_runtime = least_seconds(cuda, 9, stop, [&] {
      kernels::check(cudaMemcpyAsync(to.base(), from.base(), bytes, cudaMemcpyDeviceToDevice, cuda.stream().get()),
                     "copying on the device");
    });
    ceilings.copy_bandwidth = 2 * static_cast<double>(bytes) / std::min(by_kernel, by_runtime);
  }
  const Arena sink(device_of(cuda), 256);
  const auto rate = [&](double (*work)(Cuda&, int, float*)) {
    double flops = 0;
    const double seconds = least_seconds(cuda, 9, stop, [&] { flops = work(cuda, small ? 2 : 20000, reinterpret_cast<float*>(sink.base())); });
    return flops / seconds;
  };
  ceilings.flops = rate(multiply_add_all);
  if (cuda.has_tensor_cores()) ceilings.tf32_flops = rate(tensor_core_all);
  const int launches = small ? 4 : 2000;
  const auto launch_all = [&] {
    for (int k = 0; k < launches; ++k) empty_kernel(cuda);
  };
  ceilings.launch = least_seconds(cuda, 5, stop, launch_all) / launches;
  try {
    CudaGraph graph(device_of(cuda));
    graph.capture([&](int) { launch_all(); });
    ceilings.graph_launch = least_seconds(cuda, 5, stop, [&] { graph.replay(); }) / launches;
  } catch (const DeviceLost&) {
    throw;
  } catch (const Error&) {  // a device without graphs has no rows of them either
  }
  return ceilings;
}
#endif

std::size_t last_cache_bytes_of_cpu() {
  std::size_t kilobytes = 0;
  for (int index = 0; index < 8; ++index) {
    std::ifstream in("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/size");
    std::size_t size = 0;
    if (in >> size) kilobytes = std::max(kilobytes, size);
  }
  return kilobytes ? kilobytes * 1024 : std::size_t{32} << 20;
}

}  // namespace

#ifdef MICA_CUDA
Ceilings measure_ceilings(Device device, bool small, const Stop& stop) {
  const bool on_cuda = device.kind() == Device::Kind::cuda;
  const Ceilings ceilings = on_cuda ? measure(cuda_context(device), small, stop) : measure(cpu_context(), small, stop);
  release_cached_memory(device);
  return ceilings;
}

std::size_t last_cache_bytes(Device device) {
  if (device.kind() == Device::Kind::cpu) return last_cache_bytes_of_cpu();
  int bytes = 0;
  kernels::check(cudaDeviceGetAttribute(&bytes, cudaDevAttrL2CacheSize, device.index()), "asking for a device's properties");
  return static_cast<std::size_t>(bytes);
}
#else
Ceilings measure_ceilings(Device device, bool small, const Stop& stop) {
  const Ceilings ceilings = measure(cpu_context(), small, stop);
  release_cached_memory(device);
  return ceilings;
}

std::size_t last_cache_bytes(Device) { return last_cache_bytes_of_cpu(); }
#endif

#ifdef MICA_CUDA_EMULATED
bool is_emulated(Device device) { return device.kind() == Device::Kind::cuda; }
#else
bool is_emulated(Device) { return false; }
#endif

}  // namespace mica::bench
