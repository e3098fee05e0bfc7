#include <mica/kernels/answers.h>
#include <mica/kernels/cuda/losses.h>

namespace mica::kernels {
namespace {

template <class T>
struct Correct {
  using Value = unsigned;
  static constexpr i64 least = 1024;
  i64 classes, k;
  const T* y;
  i64* correct;

  MICA_DEVICE unsigned start() const { return 0; }
  MICA_DEVICE unsigned operator()(unsigned a, unsigned b) const { return a + b; }
  MICA_DEVICE unsigned add(unsigned count, i64 target, unsigned line, unsigned) const {
    return count + among_first(k, classes, y + line * classes, target);
  }
  MICA_DEVICE unsigned add(unsigned count, unsigned other, unsigned, unsigned) const { return count + other; }
  MICA_DEVICE void finish(unsigned, unsigned count) const { *correct = count; }
};

// Atomics of whole numbers, whose order makes no difference.
template <class T>
__global__ void confusions_kernel(unsigned n, i64 classes, const T* y, const i64* target, unsigned long long* counts) {
  for (unsigned i = first_item(); i < n; i += item_step())
    if (target[i] >= 0 && target[i] < classes) atomicAdd(counts + target[i] * classes + first_of(classes, y + i * classes), 1ull);
}

}  // namespace

template <class T>
void count_correct(Cuda& cuda, i64 n, i64 classes, i64 k, const T* y, const i64* target, i64* correct) {
  over_lines(cuda, "count_correct", n, Correct<T>{classes, k, y, correct}, target);
}

template <class T>
void count_confusions(Cuda& cuda, i64 n, i64 classes, const T* y, const i64* target, i64* counts) {
  if (n == 0) return;
  launch(cuda, "count_confusions", confusions_kernel<T>, grid_for(cuda, n), static_cast<unsigned>(n), classes, y, target,
         reinterpret_cast<unsigned long long*>(counts));
}

#define MICA_FLOATING(T)                                                                  \
  template void count_correct(Cuda&, i64, i64, i64, const T*, const i64*, i64*);          \
  template void count_confusions(Cuda&, i64, i64, const T*, const i64*, i64*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
