// What the machine can do at most, measured in the run that is compared with it.
#pragma once

#include "harness.h"

namespace mica::bench {

Ceilings measure_ceilings(Cpu& cpu, const Options& options);
#ifdef MICA_CUDA
Ceilings measure_ceilings(Cuda& cuda, const Options& options);
#endif

}  // namespace mica::bench
