// Includes MICA_KERNELS, a file of functions that use Vector, once for each instruction set, in namespaces of
// mica::kernels; see vector.h. No include guard: each file of kernels has its turn.
#include <mica/kernels/cpu/vector.h>

namespace mica::kernels::portable {
namespace {
[[maybe_unused]] constexpr bool fused = false;  // is there an instruction for a·b + c with one rounding?
#include MICA_KERNELS
}
}

#ifdef MICA_X86_VECTORS
#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace mica::kernels::avx2 {
namespace {
[[maybe_unused]] constexpr bool fused = true;
#include MICA_KERNELS
}
}
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f")
namespace mica::kernels::avx512 {
namespace {
[[maybe_unused]] constexpr bool fused = true;
#include MICA_KERNELS
}
}
#pragma GCC pop_options
#endif

#undef MICA_KERNELS
