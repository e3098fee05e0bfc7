// Parameter updates, clipping and averages, one launch for all tensors: they are cut into pieces of equal size, a block takes one piece and
// finds its tensor in a table that is the kernel's argument. Lists that such a table cannot hold take several launches.
#include <mica/kernels/cuda/block_reduce.h>
#include <mica/kernels/cuda/launch.h>
#include <mica/kernels/cuda/pack.h>
#include <mica/kernels/optimizer_rules.h>

namespace mica::kernels {
namespace {

constexpr int packs_per_thread = 2;
template <class T> constexpr unsigned piece_size = threads_per_block * packs_per_thread * Pack<T>::size;  // elements

struct Nothing {};

// Element i of arrays at[0] … at[K − 1] belongs together; `own` is what the rule knows of this tensor alone.
template <class T, int K, class Own>
struct DeviceSlot {
  using Element = T;
  static constexpr int arrays = K;
  T* at[K];
  unsigned n;
  Own own;

  MICA_DEVICE bool aligned() const {
    std::uintptr_t bits = 0;
    for (T* pointer : at) bits |= reinterpret_cast<std::uintptr_t>(pointer);
    return bits % 16 == 0;
  }
};

struct Run {
  unsigned slot, begin, end;  // elements of it
};

// The slots of one launch. All arguments of a kernel take 4096 bytes at most, before sm_70 or CUDA 12.1; 256 are left for others.
template <class Slot>
struct SlotTable {
  static constexpr unsigned most = (4096 - 256) / (sizeof(Slot) + sizeof(unsigned));
  static constexpr unsigned piece = piece_size<typename Slot::Element>;
  unsigned count;
  unsigned ends[most];  // number of pieces of all slots up to and with this one
  Slot slots[most];

  unsigned pieces() const { return count == 0 ? 0 : ends[count - 1]; }
  void add(const Slot& slot) {
    const unsigned before = pieces();
    slots[count] = slot;
    ends[count++] = before + static_cast<unsigned>(ceil_div(slot.n, piece));
  }

  MICA_DEVICE Run run(unsigned number) const {
    unsigned low = 0, high = count - 1;
    while (low < high) {
      const unsigned middle = (low + high) / 2;
      if (ends[middle] <= number) low = middle + 1;
      else high = middle;
    }
    const unsigned begin = (number - (low == 0 ? 0 : ends[low - 1])) * piece;
    return {low, begin, slots[low].n - begin < piece ? slots[low].n : begin + piece};
  }
};

// f(table) for all slots, in as many tables as they take. convert(slot) gives a DeviceSlot; without elements it is left out.
template <class Slot, class Convert, class F>
void for_each_table(std::span<const Slot> slots, const Convert& convert, const F& f) {
  SlotTable<decltype(convert(slots[0]))> table{};
  for (const Slot& slot : slots) {
    if (slot.n == 0) continue;
    if (table.count == table.most) {
      f(table);
      table.count = 0;
    }
    table.add(convert(slot));
  }
  if (table.count > 0) f(table);
}

// ---- updates ----

// Each has the Slot it works on; idle(): nothing is to be done; writes(k): does array k change?; and for a tensor,
// bind(own) gives the function of elements x[0] … x[K − 1] that belong together.
template <class T, int K, class Own>
struct Update {
  using Slot = DeviceSlot<T, K, Own>;
  MICA_DEVICE static bool idle() { return false; }
};

// In a graph a rule's number lies at this place; elsewhere it is null.
template <class T>
MICA_DEVICE void refresh(T& number, const double* place) {
  if (place) number = static_cast<T>(*place);
}

template <class T>
struct SgdUpdate : Update<T, 2, Nothing> {
  SgdRule<T> rule;
  const double* lr;
  explicit SgdUpdate(const SgdSettings& settings) : rule(settings), lr(settings.lr.place) {}
  MICA_DEVICE static constexpr bool writes(int k) { return k == 0; }
  MICA_DEVICE auto bind(Nothing) const {
    SgdRule<T> now = rule;
    refresh(now.lr, lr);
    return [now](T* x) { now(x[0], x[1]); };
  }
};

template <class T>
struct MomentumUpdate : Update<T, 3, GraphValue<bool>> {
  MomentumRule<T> rule;
  const double *lr, *momentum;
  explicit MomentumUpdate(const SgdSettings& settings) : rule(settings), lr(settings.lr.place), momentum(settings.momentum.place) {}
  MICA_DEVICE static constexpr bool writes(int k) { return k != 1; }
  MICA_DEVICE auto bind(const GraphValue<bool>& first) const {
    MomentumRule<T> now = rule;
    refresh(now.lr, lr);
    refresh(now.momentum, momentum);
    return [now, old = now.old(first.get()), fresh = now.fresh(first.get())](T* x) { now(old, fresh, x[0], x[1], x[2]); };
  }
};

template <class T>
struct AdamUpdate : Update<T, 4, GraphValue<AdamBias<T>>> {
  AdamRule<T> rule;
  const double *beta1, *keep;
  explicit AdamUpdate(const AdamSettings& settings) : rule(settings), beta1(settings.beta1.place), keep(settings.keep.place) {}
  MICA_DEVICE static constexpr bool writes(int k) { return k != 1; }
  MICA_DEVICE auto bind(const GraphValue<AdamBias<T>>& bias) const {
    AdamRule<T> now = rule;
    if (beta1) now.set_beta1(*beta1);
    refresh(now.keep, keep);
    return [now, bias = bias.get()](T* x) { now(bias, x[0], x[1], x[2], x[3]); };
  }
};

// Arrays: parameter, gradient, square, then momentum and mean where there are such.
template <class T, bool centered, bool with_momentum>
struct RmspropUpdate : Update<T, 3 + with_momentum + centered, Nothing> {
  using Rule = RmspropRule<T, centered, with_momentum>;
  Rule rule;
  const double *lr, *momentum;
  explicit RmspropUpdate(const RmspropSettings& settings) : rule(settings), lr(settings.lr.place), momentum(settings.momentum.place) {}
  MICA_DEVICE static constexpr bool writes(int k) { return k != 1; }
  MICA_DEVICE auto bind(Nothing) const {
    Rule now = rule;
    refresh(now.lr, lr);
    refresh(now.momentum, momentum);
    return [now](T* x) { now(x[0], x[1], x[2], x + 3, x + 3 + with_momentum); };
  }
};

template <class T>
struct AverageUpdate : Update<T, 2, Nothing> {
  GraphValue<double> weight;
  explicit AverageUpdate(const GraphValue<double>& w) : weight(w) {}
  MICA_DEVICE static constexpr bool writes(int k) { return k == 0; }
  MICA_DEVICE auto bind(Nothing) const {
    return [rule = AverageRule<T>(weight.get())](T* x) { rule(x[0], x[1]); };
  }
};

template <class T>
struct ScaleUpdate : Update<T, 1, Nothing> {
  const double* factor;
  explicit ScaleUpdate(const double* by) : factor(by) {}
  MICA_DEVICE bool idle() const { return *factor == 1; }
  MICA_DEVICE static constexpr bool writes(int) { return true; }
  MICA_DEVICE auto bind(Nothing) const {
    return [by = static_cast<T>(*factor)](T* x) { x[0] *= by; };
  }
};

template <class T>
struct ClampUpdate : Update<T, 1, Nothing> {
  T limit;
  explicit ClampUpdate(double most) : limit(static_cast<T>(most)) {}
  MICA_DEVICE static constexpr bool writes(int) { return true; }
  MICA_DEVICE auto bind(Nothing) const {
    return [limit = limit](T* x) { x[0] = clamped(x[0], limit); };
  }
};

// Packs where all arrays of the slot are aligned, and single elements for the rest.
template <class Rule>
__global__ void update_kernel(const Rule update, const SlotTable<typename Rule::Slot> table) {
  using Slot = typename Rule::Slot;
  using T = typename Slot::Element;
  constexpr int arrays = Slot::arrays, size = Pack<T>::size;
  if (update.idle()) return;
  const Run run = table.run(blockIdx.x);
  const Slot& slot = table.slots[run.slot];
  const auto apply = update.bind(slot.own);
  const unsigned singles = slot.aligned() ? run.end - (run.end - run.begin) % size : run.begin;  // where they begin
  for (unsigned i = run.begin + threadIdx.x * size; i < singles; i += threads_per_block * size) {
    Pack<T> packs[arrays];
    for (int k = 0; k < arrays; ++k) packs[k] = load_pack(slot.at[k] + i);
    for (int e = 0; e < size; ++e) {
      T x[arrays];
      for (int k = 0; k < arrays; ++k) x[k] = packs[k].at[e];
      apply(x);
      for (int k = 0; k < arrays; ++k) packs[k].at[e] = x[k];
    }
    for (int k = 0; k < arrays; ++k)
      if (Rule::writes(k)) store_pack(slot.at[k] + i, packs[k]);
  }
  for (unsigned i = singles + threadIdx.x; i < run.end; i += threads_per_block) {
    T x[arrays];
    for (int k = 0; k < arrays; ++k) x[k] = slot.at[k][i];
    apply(x);
    for (int k = 0; k < arrays; ++k)
      if (Rule::writes(k)) slot.at[k][i] = x[k];
  }
}

template <class Rule, class Slot, class Convert>
void update_all(Cuda& cuda, const char* name, const Rule& rule, std::span<const Slot> slots, const Convert& convert) {
  for_each_table(slots, convert, [&](const SlotTable<typename Rule::Slot>& table) {
    static_assert(sizeof(rule) + sizeof(table) + 16 <= 4096);
    launch(cuda, name, update_kernel<Rule>, {dim3(table.pieces()), dim3(threads_per_block)}, rule, table);
  });
}

template <bool centered, bool with_momentum, class T>
void rmsprop_all(Cuda& cuda, const RmspropSettings& settings, std::span<const RmspropSlot<T>> slots) {
  update_all(cuda, "rmsprop_step", RmspropUpdate<T, centered, with_momentum>(settings), slots, [](const RmspropSlot<T>& slot) {
    DeviceSlot<T, 3 + with_momentum + centered, Nothing> arrays{
        {slot.parameter, const_cast<T*>(slot.gradient), slot.square}, static_cast<unsigned>(slot.n), {}};
    if constexpr (with_momentum) arrays.at[3] = slot.momentum;
    if constexpr (centered) arrays.at[3 + with_momentum] = slot.mean;
    return arrays;
  });
}

// ---- the norm ----

template <class T> using GradientArray = DeviceSlot<T, 1, Nothing>;

template <class T>
GradientArray<T> gradient_array(const GradientSlot<T>& slot) {
  return {{slot.gradient}, static_cast<unsigned>(slot.n), {}};
}

// partial[b] = the sum over piece b.
template <class T, class F>
__global__ void power_sum_kernel(const F f, const SlotTable<GradientArray<T>> table, double* partial) {
  constexpr int size = Pack<T>::size;
  const Run run = table.run(blockIdx.x);
  const GradientArray<T>& slot = table.slots[run.slot];
  const T* x = slot.at[0];
  double sum = 0;
  const unsigned singles = slot.aligned() ? run.end - (run.end - run.begin) % size : run.begin;
  for (unsigned i = run.begin + threadIdx.x * size; i < singles; i += threads_per_block * size) {
    const Pack<T> pack = load_pack(x + i);
    for (const T v : pack.at) sum = f(sum, static_cast<double>(v));
  }
  for (unsigned i = singles + threadIdx.x; i < run.end; i += threads_per_block) sum = f(sum, static_cast<double>(x[i]));
  const double all = block_reduce(sum, 0.0, [](double a, double b) { return F::join(a, b); });
  if (threadIdx.x == 0) partial[blockIdx.x] = all;
}

// *sum of n partial ones, by one block.
constexpr int total_threads = 1024;
template <class F>
__global__ void __launch_bounds__(total_threads) total_kernel(unsigned n, const double* partial, double* sum) {
  double total = 0;
  for (unsigned i = threadIdx.x; i < n; i += blockDim.x) total = F::join(total, partial[i]);
  const double all = block_reduce(total, 0.0, [](double a, double b) { return F::join(a, b); });
  if (threadIdx.x == 0) *sum = all;
}

template <class T, class F>
void sum_with(Cuda& cuda, const F& f, std::span<const GradientSlot<T>> slots, double* sum) {
  i64 pieces = 0;
  for (const GradientSlot<T>& slot : slots) pieces += ceil_div(slot.n, piece_size<T>);
  const auto partial = cuda.scratch<double>(pieces);
  i64 done = 0;
  for_each_table(slots, gradient_array<T>, [&](const SlotTable<GradientArray<T>>& table) {
    launch(cuda, "power_sum", power_sum_kernel<T, F>, {dim3(table.pieces()), dim3(threads_per_block)}, f, table, partial.get() + done);
    done += table.pieces();
  });
  launch(cuda, "power_sum", total_kernel<F>, {dim3(1), dim3(total_threads)}, static_cast<unsigned>(pieces), partial.get(), sum);
}

__global__ void clip_factor_kernel(double p, double max_norm, int parts, const double* sums, double* norm, double* factor) {
  find_clip_factor(p, max_norm, parts, sums, norm, factor);
}

}  // namespace

template <class T>
void sgd_step(Cuda& cuda, const SgdSettings& settings, std::span<const SgdSlot<T>> slots) {
  const auto size = [](const SgdSlot<T>& slot) { return static_cast<unsigned>(slot.n); };
  if (!slots.empty() && slots[0].momentum)
    update_all(cuda, "sgd_step", MomentumUpdate<T>(settings), slots, [&](const SgdSlot<T>& slot) {
      return DeviceSlot<T, 3, GraphValue<bool>>{{slot.parameter, const_cast<T*>(slot.gradient), slot.momentum}, size(slot), slot.first};
    });
  else
    update_all(cuda, "sgd_step", SgdUpdate<T>(settings), slots, [&](const SgdSlot<T>& slot) {
      return DeviceSlot<T, 2, Nothing>{{slot.parameter, const_cast<T*>(slot.gradient)}, size(slot), {}};
    });
}

template <class T>
void adam_step(Cuda& cuda, const AdamSettings& settings, std::span<const AdamSlot<T>> slots) {
  update_all(cuda, "adam_step", AdamUpdate<T>(settings), slots, [&](const AdamSlot<T>& slot) {
    return DeviceSlot<T, 4, GraphValue<AdamBias<T>>>{{slot.parameter, const_cast<T*>(slot.gradient), slot.mean, slot.mean_square},
                                         static_cast<unsigned>(slot.n), slot.bias};
  });
}

template <class T>
void rmsprop_step(Cuda& cuda, const RmspropSettings& settings, std::span<const RmspropSlot<T>> slots) {
  if (slots.empty()) return;
  const bool centered = slots[0].mean, with_momentum = slots[0].momentum;
  if (centered && with_momentum) rmsprop_all<true, true>(cuda, settings, slots);
  else if (centered) rmsprop_all<true, false>(cuda, settings, slots);
  else if (with_momentum) rmsprop_all<false, true>(cuda, settings, slots);
  else rmsprop_all<false, false>(cuda, settings, slots);
}

template <class T>
void average(Cuda& cuda, const GraphValue<double>& weight, std::span<const AverageSlot<T>> slots) {
  update_all(cuda, "average", AverageUpdate<T>(weight), slots, [](const AverageSlot<T>& slot) {
    return DeviceSlot<T, 2, Nothing>{{slot.average, const_cast<T*>(slot.value)}, static_cast<unsigned>(slot.n), {}};
  });
}

template <class T>
void power_sum(Cuda& cuda, double p, std::span<const GradientSlot<T>> slots, double* sum) {
  if (std::isinf(p)) sum_with(cuda, Largest{}, slots, sum);
  else if (p == 2) sum_with(cuda, Squares{}, slots, sum);
  else if (p == 1) sum_with(cuda, Absolutes{}, slots, sum);
  else sum_with(cuda, Powers(p), slots, sum);
}

void clip_factor(Cuda& cuda, double p, double max_norm, int parts, const double* sums, double* norm, double* factor) {
  launch(cuda, "clip_factor", clip_factor_kernel, {dim3(1), dim3(1)}, p, max_norm, parts, sums, norm, factor);
}

template <class T>
void scale(Cuda& cuda, const double* factor, std::span<const GradientSlot<T>> slots) {
  update_all(cuda, "scale", ScaleUpdate<T>(factor), slots, gradient_array<T>);
}

template <class T>
void clamp(Cuda& cuda, double limit, std::span<const GradientSlot<T>> slots) {
  update_all(cuda, "clamp", ClampUpdate<T>(limit), slots, gradient_array<T>);
}

#define MICA_FLOATING(T)                                                                       \
  template void rmsprop_step(Cuda&, const RmspropSettings&, std::span<const RmspropSlot<T>>);  \
  template void average(Cuda&, const GraphValue<double>&, std::span<const AverageSlot<T>>);    \
  template void sgd_step(Cuda&, const SgdSettings&, std::span<const SgdSlot<T>>);              \
  template void adam_step(Cuda&, const AdamSettings&, std::span<const AdamSlot<T>>);           \
  template void power_sum(Cuda&, double, std::span<const GradientSlot<T>>, double*);           \
  template void scale(Cuda&, const double*, std::span<const GradientSlot<T>>);                 \
  template void clamp(Cuda&, double, std::span<const GradientSlot<T>>);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
