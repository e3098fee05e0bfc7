#include <mica/kernels/cuda/reduction.h>
#include <mica/kernels/reduce.h>

#include <cstdint>
#include <limits>
#include <type_traits>

namespace mica::kernels {
namespace {

template <class T>
struct Sum {
  using Value = double;
  static constexpr i64 least = 4096;
  double scale;
  T* y;

  MICA_DEVICE double start() const { return 0; }
  template <class X> MICA_DEVICE double add(double total, X x, unsigned, unsigned) const { return total + static_cast<double>(x); }
  MICA_DEVICE double operator()(double a, double b) const { return a + b; }
  MICA_DEVICE void finish(unsigned k, double total) const { y[k] = static_cast<T>(scale * total); }
};

// A value and its position in the region, of nothing one beyond all others. A NaN beats numbers, and the earlier of equals wins.
template <class T>
struct Candidate {
  T value;
  std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t> where;  // as large as T: no byte is left unwritten
};

template <class T, bool largest>
struct Best {
  using Value = Candidate<T>;
  static constexpr i64 least = 4096;
  T* y;
  i64* index;  // may be null

  MICA_DEVICE Value start() const {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    return {largest ? -infinity : infinity, 0xffffffffU};
  }
  MICA_DEVICE Value operator()(Value a, Value b) const {
    const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    const bool better = ((largest ? b.value > a.value : b.value < a.value) | b_nan) & !a_nan;
    const bool equal = (a.value == b.value) | (a_nan & b_nan);
    return better | (equal & (b.where < a.where)) ? b : a;
  }
  MICA_DEVICE Value add(Value best, T x, unsigned i, unsigned) const { return (*this)(best, Value{x, i}); }
  MICA_DEVICE Value add(Value best, Value other, unsigned, unsigned) const { return (*this)(best, other); }
  MICA_DEVICE void finish(unsigned k, Value best) const {
    y[k] = best.value;
    if (index) index[k] = best.where;
  }
};

template <class T>
MICA_DEVICE bool equals(T x, T best, bool nan_equal) {
  return (x == best) | (nan_equal & (x != x) & (best != best));
}

// How many positions equal an extremum y[k].
template <class T>
struct Equals {
  using Value = unsigned;
  static constexpr i64 least = 4096;
  bool nan_equal;
  const T* y;
  unsigned* counts;

  MICA_DEVICE unsigned start() const { return 0; }
  MICA_DEVICE unsigned operator()(unsigned a, unsigned b) const { return a + b; }
  MICA_DEVICE unsigned add(unsigned count, T x, unsigned, unsigned k) const { return count + equals(x, y[k], nan_equal); }
  MICA_DEVICE unsigned add(unsigned count, unsigned other, unsigned, unsigned) const { return count + other; }
  MICA_DEVICE void finish(unsigned k, unsigned count) const { counts[k] = count; }
};

template <class T>
__global__ void share_kernel(unsigned n, Strided<2> walk, bool nan_equal, const T* x, const T* y, const T* gy, const unsigned* counts, T* gx) {
  for (unsigned i = first_item(); i < n; i += item_step()) {
    const auto places = walk.places(i);
    const i64 k = places.at[1];
    const T none = counts[k] == 0 ? std::numeric_limits<T>::quiet_NaN() : T(0);
    gx[places.at[0]] = equals(x[places.at[0]], y[k], nan_equal) ? gy[k] / static_cast<T>(counts[k]) : none;
  }
}

}  // namespace

template <class T>
void sum(Cuda& cuda, const Region& kept, const Region& reduced, double scale, const T* x, T* y) {
  reduce(cuda, "sum", kept, reduced, Sum<T>{scale, y}, x);
}

template <class T>
void extremum(Cuda& cuda, Extremum which, const Region& kept, const Region& reduced, const T* x, T* y, i64* index) {
  if (which == Extremum::max) reduce(cuda, "extremum", kept, reduced, Best<T, true>{y, index}, x);
  else reduce(cuda, "extremum", kept, reduced, Best<T, false>{y, index}, x);
}

template <class T>
void extremum_backward(Cuda& cuda, const Region& kept, const Region& reduced, bool nan_equal, const T* x, const T* y, const T* gy, T* gx) {
  const Walk<2> all = in_memory_order_of_x(kept, reduced);
  const i64 n = items(all);
  if (n == 0) return;
  const auto counts = cuda.scratch<unsigned>(items(in_memory_order_of_x(kept)));
  reduce(cuda, "extremum_backward", kept, reduced, Equals<T>{nan_equal, y, counts.get()}, x);
  launch(cuda, "extremum_backward", share_kernel<T>, grid_for(cuda, n), static_cast<unsigned>(n), Strided<2>(all), nan_equal, x, y, gy,
         counts.get(), gx);
}

#define MICA_FLOATING(T)                                                                                        \
  template void sum(Cuda&, const Region&, const Region&, double, const T*, T*);                                 \
  template void extremum(Cuda&, Extremum, const Region&, const Region&, const T*, T*, i64*);                    \
  template void extremum_backward(Cuda&, const Region&, const Region&, bool, const T*, const T*, const T*, T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
