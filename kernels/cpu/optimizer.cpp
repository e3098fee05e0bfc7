#include <mica/kernels/cpu/parallel.h>
#include <mica/kernels/optimizer.h>

namespace mica::kernels {

template <class T>
void sgd_step(Cpu& cpu, const SgdSettings& s, std::span<const SgdSlot<T>> slots) {
  const T lr = static_cast<T>(s.lr), momentum = static_cast<T>(s.momentum), decay = static_cast<T>(s.weight_decay);
  for (const SgdSlot<T>& slot : slots) {
    const T fresh = slot.first ? T(1) : static_cast<T>(1 - s.dampening), old = slot.first ? T(0) : momentum;
    parallel_for(cpu, slot.n, 16384, [&](i64 begin, i64 end) {
      for (i64 i = begin; i < end; ++i) {
        T d = slot.gradient[i] + decay * slot.parameter[i];
        if (slot.momentum) {
          T& b = slot.momentum[i];
          b = old * b + fresh * d;
          d = s.nesterov ? d + momentum * b : b;
        }
        slot.parameter[i] -= lr * d;
      }
    });
  }
}

template void sgd_step(Cpu&, const SgdSettings&, std::span<const SgdSlot<float>>);
template void sgd_step(Cpu&, const SgdSettings&, std::span<const SgdSlot<double>>);

}  // namespace mica::kernels
