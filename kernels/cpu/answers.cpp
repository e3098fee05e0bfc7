#include <mica/kernels/answers.h>
#include <mica/kernels/cpu/context.h>

namespace mica::kernels {

template <class T>
void count_correct(Cpu&, i64 n, i64 classes, i64 k, const T* y, const i64* target, i64* correct) {
  *correct = 0;
  for (i64 i = 0; i < n; ++i) *correct += among_first(k, classes, y + i * classes, target[i]);
}

template <class T>
void count_confusions(Cpu&, i64 n, i64 classes, const T* y, const i64* target, i64* counts) {
  for (i64 i = 0; i < n; ++i)
    if (target[i] >= 0 && target[i] < classes) ++counts[target[i] * classes + first_of(classes, y + i * classes)];
}

#define MICA_FLOATING(T)                                                                 \
  template void count_correct(Cpu&, i64, i64, i64, const T*, const i64*, i64*);          \
  template void count_confusions(Cpu&, i64, i64, const T*, const i64*, i64*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
