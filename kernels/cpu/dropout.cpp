#include <mica/kernels/cpu/parallel.h>
#include <mica/kernels/dropout.h>

#include <algorithm>

namespace mica::kernels {
namespace {

constexpr i64 lanes = 16;  // Philox blocks that are computed side by side, one a vector lane

// bits[4·lanes] = numbers of blocks [first, first + lanes).
MICA_HOT void random_run(const RandomKey& key, std::uint32_t first, std::uint32_t* bits) {
  for (i64 lane = 0; lane < lanes; ++lane) {
    const RandomBlock block = philox(key, first + static_cast<std::uint32_t>(lane));
    for (i64 i = 0; i < 4; ++i) bits[4 * lane + i] = block[static_cast<std::size_t>(i)];
  }
}

// f(i, bits of number i) for i in [begin, end).
template <class F>
void for_each_random(const RandomKey& key, i64 begin, i64 end, const F& f) {
  std::uint32_t bits[4 * lanes];
  for (i64 first = begin / 4 * 4; first < end; first += 4 * lanes) {
    random_run(key, static_cast<std::uint32_t>(first / 4), bits);
    for (i64 i = std::max(first, begin); i < std::min(first + 4 * lanes, end); ++i) f(i, bits[i - first]);
  }
}

constexpr i64 grain = 4096;

}  // namespace

template <class T>
void dropout_range(const Dropout& d, i64 begin, i64 end, const T* x, T* y) {
  const std::uint64_t threshold = d.threshold();
  const T scale = static_cast<T>(d.scale());
  for_each_random(d.key, begin, end, [=](i64 i, std::uint32_t bits) { y[i] = bits >= threshold ? scale * x[i] : T(0); });
}

template <class T>
void dropout(Cpu& cpu, i64 n, const Dropout& d, const T* x, T* y) {
  parallel_for(cpu, n, grain, [&](i64 begin, i64 end) { dropout_range(d, begin, end, x, y); });
}

template <class T>
void uniform(Cpu& cpu, i64 n, const RandomKey& key, double low, double high, T* y) {
  parallel_for(cpu, n, grain, [&](i64 begin, i64 end) {
    for_each_random(key, begin, end, [=](i64 i, std::uint32_t bits) {
      y[i] = static_cast<T>(low + (high - low) * static_cast<double>(to_uniform(bits)));
    });
  });
}

#define MICA_FLOATING(T)                                                     \
  template void dropout(Cpu&, i64, const Dropout&, const T*, T*);            \
  template void dropout_range(const Dropout&, i64, i64, const T*, T*);       \
  template void uniform(Cpu&, i64, const RandomKey&, double, double, T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
