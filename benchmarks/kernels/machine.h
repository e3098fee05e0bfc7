// What figures depend on: the processor or GPU, its clock and caches, the commit, the time.
#pragma once

#include "case.h"

namespace mica::bench {

struct Machine {
  std::string device, name;  // "cpu" or "cuda:0"; as the maker calls it
  std::string about;         // driver and runtime, or the number of cores
  bool emulated = false;     // then its times say nothing
  double clock_mhz = 0;      // 0: not known
  int threads = 0;
  std::size_t cache_bytes = 0;
};

Machine machine_of(Cpu& cpu);
#ifdef MICA_CUDA
Machine machine_of(Cuda& cuda);
#endif

// How often other programs took a processor from this one so far.
long involuntary_switches();

std::string commit();  // that this was built from, "…-dirty" where files were changed, or "unknown"
std::string date();    // now, UTC, ISO 8601

}  // namespace mica::bench
