// A team of threads takes a row, which it reads once from memory and then from the cache. The parameters' gradients are sums
// of columns.
#include <mica/kernels/cuda/reduction.h>
#include <mica/kernels/layer_norm.h>

#include <cmath>

namespace mica::kernels {
namespace {

template <class Team, class T>
__global__ void __launch_bounds__(Team::most_threads, 1)
    forward_kernel(unsigned rows, unsigned n, unsigned width, double eps, const T* x, const T* w, const T* b, T* y, T* mean,
                   T* inverse_std) {
  const Team team(width);
  const bool present = team.index < rows;
  const unsigned mine = present ? n : 0, row = present ? team.index : 0;
  x += static_cast<i64>(row) * n, y += static_cast<i64>(row) * n;
  double sum = 0, squares = 0;
  for (unsigned i = team.rank; i < mine; i += team.size) sum += static_cast<double>(x[i]);
  const T shift = static_cast<T>(team.reduce(sum, 0.0, Plus{}) / n);
  for (unsigned i = team.rank; i < mine; i += team.size) squares += static_cast<double>((x[i] - shift) * (x[i] - shift));
  const T scale = static_cast<T>(1 / std::sqrt(team.reduce(squares, 0.0, Plus{}) / n + eps));
  for (unsigned i = team.rank; i < mine; i += team.size) y[i] = (x[i] - shift) * scale * (w ? w[i] : T(1)) + (b ? b[i] : T(0));
  if (present && team.rank == 0) mean[row] = shift, inverse_std[row] = scale;
}

// Two sums at once.
struct Pair {
  double a, b;
};
struct PlusPair {
  MICA_DEVICE Pair operator()(Pair x, Pair y) const { return {x.a + y.a, x.b + y.b}; }
};

template <class Team, class T>
__global__ void __launch_bounds__(Team::most_threads, 1)
    backward_kernel(unsigned rows, unsigned n, unsigned width, const T* x, const T* w, const T* mean, const T* inverse_std,
                    const T* gy, T* gx) {
  const Team team(width);
  const bool present = team.index < rows;
  const unsigned mine = present ? n : 0, row = present ? team.index : 0;
  x += static_cast<i64>(row) * n, gy += static_cast<i64>(row) * n, gx += static_cast<i64>(row) * n;
  const T shift = mean[row], scale = inverse_std[row];
  Pair sums{};  // of h and h·x̂
  for (unsigned i = team.rank; i < mine; i += team.size) {
    const T h = w ? gy[i] * w[i] : gy[i];
    sums = PlusPair{}(sums, {static_cast<double>(h), static_cast<double>(h * ((x[i] - shift) * scale))});
  }
  sums = team.reduce(sums, Pair{}, PlusPair{});
  const T a = static_cast<T>(sums.a / n), b = static_cast<T>(sums.b / n);
  for (unsigned i = team.rank; i < mine; i += team.size) gx[i] = scale * ((w ? gy[i] * w[i] : gy[i]) - a - (x[i] - shift) * scale * b);
}

template <class T>
struct Forward {
  template <class Team> static constexpr auto kernel = forward_kernel<Team, T>;
};
template <class T>
struct Backward {
  template <class Team> static constexpr auto kernel = backward_kernel<Team, T>;
};

// The gradients of w[k] and b[k] from gy's column k.
template <class T>
struct ParameterGradients {
  using Value = Pair;
  static constexpr i64 least = 2048;
  unsigned n;
  const T *x, *mean, *inverse_std;
  T *gw, *gb;  // may be null

  MICA_DEVICE Pair start() const { return {0, 0}; }
  MICA_DEVICE Pair operator()(Pair a, Pair b) const { return PlusPair{}(a, b); }
  MICA_DEVICE Pair add(Pair sums, T g, unsigned row, unsigned k) const {
    const T normalised = (x[static_cast<i64>(row) * n + k] - mean[row]) * inverse_std[row];
    return {sums.a + static_cast<double>(g * normalised), sums.b + static_cast<double>(g)};
  }
  MICA_DEVICE Pair add(Pair sums, Pair other, unsigned, unsigned) const { return PlusPair{}(sums, other); }
  MICA_DEVICE void finish(unsigned k, Pair sums) const {
    if (gw) gw[k] = static_cast<T>(sums.a);
    if (gb) gb[k] = static_cast<T>(sums.b);
  }
};

}  // namespace

template <class T>
void layer_norm_forward(Cuda& cuda, i64 rows, i64 n, double eps, const T* x, const T* w, const T* b, T* y, T* mean, T* inverse_std) {
  if (rows == 0) return;
  const TeamShape shape = teams_for_rows(rows, n);
  launch(cuda, "layer_norm_forward", shape.kernel<Forward<T>>(), shape.launch, static_cast<unsigned>(rows), static_cast<unsigned>(n),
         shape.width, eps, x, w, b, y, mean, inverse_std);
}

template <class T>
void layer_norm_backward(Cuda& cuda, i64 rows, i64 n, const T* x, const T* w, const T* mean, const T* inverse_std, const T* gy, T* gx,
                         T* gw, T* gb) {
  if (gx && rows * n > 0) {
    const TeamShape shape = teams_for_rows(rows, n);
    launch(cuda, "layer_norm_backward", shape.kernel<Backward<T>>(), shape.launch, static_cast<unsigned>(rows), static_cast<unsigned>(n),
           shape.width, x, w, mean, inverse_std, gy, gx);
  }
  if (!gw && !gb) return;
  Region columns, down;
  columns.push_back(n, 1);
  down.push_back(rows, n);
  reduce(cuda, "layer_norm_backward", columns, down, ParameterGradients<T>{static_cast<unsigned>(n), x, mean, inverse_std, gw, gb}, gy);
}

#define MICA_FLOATING(T)                                                                                               \
  template void layer_norm_forward(Cuda&, i64, i64, double, const T*, const T*, const T*, T*, T*, T*);                 \
  template void layer_norm_backward(Cuda&, i64, i64, const T*, const T*, const T*, const T*, const T*, T*, T*, T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
