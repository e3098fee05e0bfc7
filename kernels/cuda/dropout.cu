// Dropout and uniform numbers. A thread does the four elements whose numbers come from one Philox block.
#include <mica/kernels/cuda/four.h>
#include <mica/kernels/cuda/launch.h>
#include <mica/kernels/dropout.h>

namespace mica::kernels {
namespace {

template <class T>
__global__ void dropout_kernel(unsigned n, bool packed, RandomKey given, std::uint64_t threshold, T scale, const T* x, T* y) {
  const RandomKey key = given.in_kernel();
  for (unsigned block = first_item(); block < (n + 3) / 4; block += item_step()) {
    const RandomBlock bits = philox(key, block);
    Four<T> four = load_four(x, 4 * block, n, packed);
    for (int k = 0; k < 4; ++k) four.at[k] = bits[k] >= threshold ? scale * four.at[k] : T(0);
    store_four(y, 4 * block, n, packed, four);
  }
}

template <class T>
__global__ void uniform_kernel(unsigned n, bool packed, RandomKey key, double low, double high, T* y) {
  for (unsigned block = first_item(); block < (n + 3) / 4; block += item_step()) {
    const RandomBlock bits = philox(key, block);
    Four<T> four;
    for (int k = 0; k < 4; ++k) four.at[k] = static_cast<T>(low + (high - low) * static_cast<double>(to_uniform(bits[k])));
    store_four(y, 4 * block, n, packed, four);
  }
}

}  // namespace

template <class T>
void dropout(Cuda& cuda, i64 n, const Dropout& d, const T* x, T* y) {
  if (n > 0)
    launch(cuda, "dropout", dropout_kernel<T>, grid_for(cuda, ceil_div(n, 4)), static_cast<unsigned>(n), all_aligned(x, y), d.key,
           d.threshold(), static_cast<T>(d.scale()), x, y);
}

template <class T>
void uniform(Cuda& cuda, i64 n, const RandomKey& key, double low, double high, T* y) {
  if (n > 0)
    launch(cuda, "uniform", uniform_kernel<T>, grid_for(cuda, ceil_div(n, 4)), static_cast<unsigned>(n), all_aligned(y), key, low, high, y);
}

#define MICA_FLOATING(T)                                           \
  template void dropout(Cuda&, i64, const Dropout&, const T*, T*); \
  template void uniform(Cuda&, i64, const RandomKey&, double, double, T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
