#include <mica/kernels/cpu/parallel.h>
#include <mica/kernels/optimizer_rules.h>

#include <algorithm>

namespace mica::kernels {
namespace {

constexpr i64 grain = 16384;  // elements that are worth a thread
constexpr i64 piece = 4096;   // elements that are summed in one go
constexpr i64 lanes = 16;     // sums that are kept side by side

i64 elements(i64 n) { return n; }
i64 pieces(i64 n) { return (n + piece - 1) / piece; }

// Shares the items of all slots, count(n) for a slot of n elements, evenly among the threads: calls
// f(slot, first, begin, end) for each run [begin, end) of one slot's items, whose first is number `first` of all.
template <class Slot, class F>
void for_each_run(Cpu& cpu, std::span<const Slot> slots, i64 (*count)(i64), i64 least, const F& f) {
  i64 total = 0;
  for (const Slot& slot : slots) total += count(slot.n);
  parallel_for(cpu, total, least, [&](i64 begin, i64 end) {
    i64 first = 0;
    for (const Slot& slot : slots) {
      const i64 items = count(slot.n), from = std::max<i64>(begin - first, 0), to = std::min(end - first, items);
      if (from < to) f(slot, first, from, to);
      first += items;
    }
  });
}

// ---- the loops, each over elements [begin, end) of a slot ----

template <class T>
MICA_INLINE void sgd_run(const SgdRule<T>& rule, i64 n, T* __restrict parameter, const T* __restrict gradient) {
  for (i64 i = 0; i < n; ++i) rule(parameter[i], gradient[i]);
}

template <class T>
MICA_INLINE void momentum_run(const MomentumRule<T>& rule, bool first, i64 n, T* __restrict parameter, const T* __restrict gradient,
                              T* __restrict momentum) {
  const T old = rule.old(first), fresh = rule.fresh(first);
  for (i64 i = 0; i < n; ++i) rule(old, fresh, parameter[i], gradient[i], momentum[i]);
}

template <class T>
MICA_INLINE void adam_run(const AdamRule<T>& rule, const AdamBias<T>& bias, i64 n, T* __restrict parameter, const T* __restrict gradient,
                          T* __restrict mean, T* __restrict mean_square) {
  for (i64 i = 0; i < n; ++i) rule(bias, parameter[i], gradient[i], mean[i], mean_square[i]);
}

template <class T, bool centered, bool with_momentum>
MICA_INLINE void rmsprop_run(const RmspropRule<T, centered, with_momentum>& rule, i64 n, T* __restrict parameter,
                             const T* __restrict gradient, T* __restrict square, T* __restrict momentum, T* __restrict mean) {
  for (i64 i = 0; i < n; ++i) rule(parameter[i], gradient[i], square[i], with_momentum ? momentum + i : nullptr, centered ? mean + i : nullptr);
}

template <class T>
MICA_INLINE void average_run(const AverageRule<T>& rule, i64 n, T* __restrict average, const T* __restrict value) {
  for (i64 i = 0; i < n; ++i) rule(average[i], value[i]);
}

// Folds x[0 … n) into `lanes` results side by side, element i into lane i mod lanes, and those into one.
template <class T, class F>
MICA_INLINE double fold(i64 n, const T* x, const F& f) {
  double side[lanes] = {};
  i64 i = 0;
  for (; i + lanes <= n; i += lanes)
    for (i64 lane = 0; lane < lanes; ++lane) side[lane] = f(side[lane], static_cast<double>(x[i + lane]));
  for (i64 lane = 0; i + lane < n; ++lane) side[lane] = f(side[lane], static_cast<double>(x[i + lane]));
  double total = 0;
  for (const double one : side) total = f.join(total, one);
  return total;
}

template <class T>
MICA_INLINE void scale_run(T factor, i64 n, T* gradient) {
  for (i64 i = 0; i < n; ++i) gradient[i] *= factor;
}

template <class T>
MICA_INLINE void clamp_run(T limit, i64 n, T* gradient) {
  for (i64 i = 0; i < n; ++i) gradient[i] = clamped(gradient[i], limit);
}

#define MICA_RMSPROP(HOT, T, centered, with_momentum)                                                                                    \
  HOT void run(const RmspropRule<T, centered, with_momentum>& rule, i64 n, T* parameter, const T* gradient, T* square, T* momentum,      \
                    T* mean) {                                                                                                           \
    rmsprop_run(rule, n, parameter, gradient, square, momentum, mean);                                                                   \
  }
#define MICA_FLOATING(HOT, T)                                                                                                            \
  HOT void run(const SgdRule<T>& rule, i64 n, T* parameter, const T* gradient) { sgd_run(rule, n, parameter, gradient); }                \
  HOT void run(const MomentumRule<T>& rule, bool first, i64 n, T* parameter, const T* gradient, T* momentum) {                           \
    momentum_run(rule, first, n, parameter, gradient, momentum);                                                                         \
  }                                                                                                                                      \
  HOT void run(const AdamRule<T>& rule, const AdamBias<T>& bias, i64 n, T* parameter, const T* gradient, T* mean, T* mean_square) {      \
    adam_run(rule, bias, n, parameter, gradient, mean, mean_square);                                                                     \
  }                                                                                                                                      \
  MICA_RMSPROP(HOT, T, false, false)                                                                                                     \
  MICA_RMSPROP(HOT, T, false, true)                                                                                                      \
  MICA_RMSPROP(HOT, T, true, false)                                                                                                      \
  MICA_RMSPROP(HOT, T, true, true)                                                                                                       \
  HOT void run(const AverageRule<T>& rule, i64 n, T* average, const T* value) { average_run(rule, n, average, value); }                  \
  HOT double squares(i64 n, const T* x) { return fold(n, x, Squares{}); }                                                                \
  HOT double absolutes(i64 n, const T* x) { return fold(n, x, Absolutes{}); }                                                            \
  HOT double largest(i64 n, const T* x) { return fold(n, x, Largest{}); }                                                                \
  HOT void scale(T factor, i64 n, T* gradient) { scale_run(factor, n, gradient); }                                                       \
  HOT void clamp(T limit, i64 n, T* gradient) { clamp_run(limit, n, gradient); }
MICA_FLOATING(MICA_HOT, float)
MICA_FLOATING(__attribute__((noinline)), double)  // one of each: f64 is not worth the size of more
#undef MICA_FLOATING
#undef MICA_RMSPROP

}  // namespace

template <class T>
void sgd_step(Cpu& cpu, const SgdSettings& s, std::span<const SgdSlot<T>> slots) {
  const SgdRule<T> plain(s);
  const MomentumRule<T> with_momentum(s);
  for_each_run(cpu, slots, elements, grain, [&](const SgdSlot<T>& slot, i64, i64 begin, i64 end) {
    if (slot.momentum) run(with_momentum, slot.first.value, end - begin, slot.parameter + begin, slot.gradient + begin, slot.momentum + begin);
    else run(plain, end - begin, slot.parameter + begin, slot.gradient + begin);
  });
}

template <class T>
void adam_step(Cpu& cpu, const AdamSettings& s, std::span<const AdamSlot<T>> slots) {
  const AdamRule<T> rule(s);
  for_each_run(cpu, slots, elements, grain, [&](const AdamSlot<T>& slot, i64, i64 begin, i64 end) {
    run(rule, slot.bias.value, end - begin, slot.parameter + begin, slot.gradient + begin, slot.mean + begin, slot.mean_square + begin);
  });
}

template <class T>
void rmsprop_step(Cpu& cpu, const RmspropSettings& s, std::span<const RmspropSlot<T>> slots) {
  for_each_run(cpu, slots, elements, grain, [&](const RmspropSlot<T>& slot, i64, i64 begin, i64 end) {
    const auto by = [&](const auto& rule) {
      run(rule, end - begin, slot.parameter + begin, slot.gradient + begin, slot.square + begin, slot.momentum ? slot.momentum + begin : nullptr,
          slot.mean ? slot.mean + begin : nullptr);
    };
    if (slot.mean && slot.momentum) by(RmspropRule<T, true, true>(s));
    else if (slot.mean) by(RmspropRule<T, true, false>(s));
    else if (slot.momentum) by(RmspropRule<T, false, true>(s));
    else by(RmspropRule<T, false, false>(s));
  });
}

template <class T>
void average(Cpu& cpu, const GraphValue<double>& weight, std::span<const AverageSlot<T>> slots) {
  const AverageRule<T> rule(weight.value);
  for_each_run(cpu, slots, elements, grain, [&](const AverageSlot<T>& slot, i64, i64 begin, i64 end) {
    run(rule, end - begin, slot.average + begin, slot.value + begin);
  });
}

template <class T>
void power_sum(Cpu& cpu, double p, std::span<const GradientSlot<T>> slots, double* sum) {
  const bool most = std::isinf(p);
  i64 count = 0;
  for (const GradientSlot<T>& slot : slots) count += pieces(slot.n);
  double* partial = cpu.scratch<double>(static_cast<std::size_t>(count));
  for_each_run(cpu, slots, pieces, grain / piece, [&](const GradientSlot<T>& slot, i64 first, i64 begin, i64 end) {
    for (i64 k = begin; k < end; ++k) {
      const T* x = slot.gradient + k * piece;
      const i64 n = std::min(piece, slot.n - k * piece);
      partial[first + k] = most ? largest(n, x) : p == 2 ? squares(n, x) : p == 1 ? absolutes(n, x) : fold(n, x, Powers(p));
    }
  });
  double total = 0;
  for (i64 k = 0; k < count; ++k) total = most ? Largest::join(total, partial[k]) : total + partial[k];
  *sum = total;
}

void clip_factor(Cpu&, double p, double max_norm, int parts, const double* sums, double* norm, double* factor) {
  find_clip_factor(p, max_norm, parts, sums, norm, factor);
}

template <class T>
void scale(Cpu& cpu, const double* factor, std::span<const GradientSlot<T>> slots) {
  if (*factor == 1) return;
  for_each_run(cpu, slots, elements, grain, [&](const GradientSlot<T>& slot, i64, i64 begin, i64 end) {
    scale(static_cast<T>(*factor), end - begin, slot.gradient + begin);
  });
}

template <class T>
void clamp(Cpu& cpu, double limit, std::span<const GradientSlot<T>> slots) {
  for_each_run(cpu, slots, elements, grain, [&](const GradientSlot<T>& slot, i64, i64 begin, i64 end) {
    clamp(static_cast<T>(limit), end - begin, slot.gradient + begin);
  });
}

#define MICA_FLOATING(T)                                                                      \
  template void sgd_step(Cpu&, const SgdSettings&, std::span<const SgdSlot<T>>);              \
  template void adam_step(Cpu&, const AdamSettings&, std::span<const AdamSlot<T>>);           \
  template void rmsprop_step(Cpu&, const RmspropSettings&, std::span<const RmspropSlot<T>>);  \
  template void average(Cpu&, const GraphValue<double>&, std::span<const AverageSlot<T>>);    \
  template void power_sum(Cpu&, double, std::span<const GradientSlot<T>>, double*);           \
  template void scale(Cpu&, const double*, std::span<const GradientSlot<T>>);                 \
  template void clamp(Cpu&, double, std::span<const GradientSlot<T>>);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
