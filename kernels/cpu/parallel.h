// parallel_for: the one way in which CPU kernels use threads. It splits [0, n) into at most threads() equal runs.
// OpenMP, because oneDNN uses it too and two pools would fight for the cores; std::thread in a build without it
// (ThreadSanitizer raises false alarms on g++'s OpenMP). f must not throw.
#pragma once

#include <mica/kernels/cpu/context.h>

#include <algorithm>
#include <cstdint>

#ifndef MICA_OPENMP
#include <thread>
#include <vector>
#endif

namespace mica::kernels {

// Calls f(begin, end) on each run. A run has `grain` items or more (but for the last), so that small work stays on one thread. What f
// computes for an item may not depend on the run it falls into: then results do not depend on the thread count.
template <class F>
void parallel_for(const Cpu& cpu, std::int64_t n, std::int64_t grain, const F& f) {
  const std::int64_t most = std::max<std::int64_t>(1, n / std::max<std::int64_t>(1, grain));
  const int runs = static_cast<int>(std::min<std::int64_t>(cpu.threads(), most));
  if (n <= 0) return;
  if (runs == 1) return f(std::int64_t{0}, n);
  const auto bound = [n, runs](int run) { return n * run / runs; };
#ifdef MICA_OPENMP
#pragma omp parallel for num_threads(runs) schedule(static, 1)
  for (int run = 0; run < runs; ++run) f(bound(run), bound(run + 1));
#else
  std::vector<std::thread> workers;
  for (int run = 1; run < runs; ++run) workers.emplace_back([&, run] { f(bound(run), bound(run + 1)); });
  f(bound(0), bound(1));
  for (std::thread& worker : workers) worker.join();
#endif
}

// Marks a hot loop that is compiled for AVX-512, AVX2 and any x86-64, and chosen when the program starts. It goes on
// plain functions; what they call must be inlined into them. Off where the compiler or a sanitizer cannot do it.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__AVX2__)
#define MICA_HOT __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define MICA_HOT
#endif
#define MICA_INLINE inline __attribute__((always_inline))
#define MICA_LAMBDA_INLINE __attribute__((always_inline))  // after a lambda's parameters

}  // namespace mica::kernels
