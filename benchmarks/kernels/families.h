// Every family of kernels. A new one: a line here, families/<name>.h with its naive formulas, families/<name>.cpp with its cases,
// and the formulas' lines in naive.cu.
#pragma once

#include "case.h"

#define MICA_FAMILIES(DO)                                                                                                      \
  DO(elementwise) DO(broadcast) DO(reduction) DO(copy) DO(matmul) DO(conv2d) DO(batch_norm) DO(chain) DO(layer_norm)          \
  DO(dropout) DO(pool) DO(loss) DO(optimizer) DO(gather) DO(step)

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
