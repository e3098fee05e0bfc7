// Every family of kernels, in the order in which they run: what weighs most in training gap-19k first, should time run out. A new one: a line here, families/<name>.h with its naive formulas, families/<name>.cpp with its cases,
// and the formulas' lines in naive.cu.
#pragma once

#include "case.h"

#define MICA_FAMILIES(DO)                                                                                                      \
  DO(step) DO(conv2d) DO(chain) DO(batch_norm) DO(optimizer) DO(matmul) DO(pool) DO(loss) DO(gather) DO(dropout)               \
  DO(layer_norm) DO(elementwise) DO(broadcast) DO(reduction) DO(copy)

namespace mica::bench::families {

#define MICA_DECLARE(family) template <class Context> void family(Cases<Context>& cases);
MICA_FAMILIES(MICA_DECLARE)
#undef MICA_DECLARE

}  // namespace mica::bench::families

// At the end of families/<name>.cpp.
#ifdef MICA_CUDA
#define MICA_FAMILY(family)                                                          \
  template void mica::bench::families::family(mica::bench::Cases<mica::bench::Cpu>&); \
  template void mica::bench::families::family(mica::bench::Cases<mica::bench::Cuda>&);
#else
#define MICA_FAMILY(family) template void mica::bench::families::family(mica::bench::Cases<mica::bench::Cpu>&);
#endif
