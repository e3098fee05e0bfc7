#include <mica/kernels/cpu/lane_sum.h>
#include <mica/kernels/layer_norm.h>

#include <algorithm>
#include <cmath>

namespace mica::kernels {
namespace {

constexpr i64 tile = 64;

template <class T>
MICA_INLINE void forward_row(i64 n, double eps, const T* x, const T* w, const T* b, T* y, T* mean, T* inverse_std) {
  const double size = static_cast<double>(n);
  const T shift = *mean = static_cast<T>(lane_sum(n, [=](i64 i) MICA_LAMBDA_INLINE { return x[i]; }) / size);
  const double squares = lane_sum(n, [=](i64 i) MICA_LAMBDA_INLINE { return (x[i] - shift) * (x[i] - shift); });
  const T scale = *inverse_std = static_cast<T>(1 / std::sqrt(squares / size + eps));
  if (w && b)
    for (i64 i = 0; i < n; ++i) y[i] = (x[i] - shift) * scale * w[i] + b[i];
  else
    for (i64 i = 0; i < n; ++i) y[i] = (x[i] - shift) * scale * (w ? w[i] : T(1)) + (b ? b[i] : T(0));
}

template <class T>
MICA_INLINE void backward_row(i64 n, const T* x, const T* w, T mean, T inverse_std, const T* gy, T* gx) {
  const auto h = [=](i64 i) MICA_LAMBDA_INLINE { return w ? gy[i] * w[i] : gy[i]; };
  const auto normalised = [=](i64 i) MICA_LAMBDA_INLINE { return (x[i] - mean) * inverse_std; };
  const double size = static_cast<double>(n);
  const T a = static_cast<T>(lane_sum(n, [=](i64 i) MICA_LAMBDA_INLINE { return h(i); }) / size);
  const T b = static_cast<T>(lane_sum(n, [=](i64 i) MICA_LAMBDA_INLINE { return h(i) * normalised(i); }) / size);
  for (i64 i = 0; i < n; ++i) gx[i] = inverse_std * (h(i) - a - normalised(i) * b);
}

// Columns [0, count) of the gradients of w and b, summed over all rows.
template <class T>
MICA_INLINE void parameter_columns(i64 count, i64 rows, i64 n, const T* x, const T* mean, const T* inverse_std, const T* gy, T* gw, T* gb) {
  constexpr i64 chunk = 32;  // rows that are summed in T before f64
  double by_w[tile] = {}, by_b[tile] = {};
  for (i64 first = 0; first < rows; first += chunk) {
    T part_w[tile] = {}, part_b[tile] = {};
    for (i64 row = first; row < std::min(rows, first + chunk); ++row)
      for (i64 i = 0; i < count; ++i) {
        const T g = gy[row * n + i];
        part_w[i] += g * ((x[row * n + i] - mean[row]) * inverse_std[row]);
        part_b[i] += g;
      }
    for (i64 i = 0; i < count; ++i) by_w[i] += static_cast<double>(part_w[i]), by_b[i] += static_cast<double>(part_b[i]);
  }
  for (i64 i = 0; i < count; ++i) {
    if (gw) gw[i] = static_cast<T>(by_w[i]);
    if (gb) gb[i] = static_cast<T>(by_b[i]);
  }
}

// As plain functions, because only those can be compiled for several instruction sets.
#define MICA_LAYER_NORM(HOT, T)                                                                                                \
  HOT void forward_run(i64 n, double eps, const T* x, const T* w, const T* b, T* y, T* mean, T* inverse_std) {                 \
    forward_row(n, eps, x, w, b, y, mean, inverse_std);                                                                        \
  }                                                                                                                            \
  HOT void backward_run(i64 n, const T* x, const T* w, T mean, T inverse_std, const T* gy, T* gx) {                            \
    if (w) backward_row(n, x, w, mean, inverse_std, gy, gx);                                                                   \
    else backward_row(n, x, static_cast<const T*>(nullptr), mean, inverse_std, gy, gx);                                        \
  }                                                                                                                            \
  HOT void parameter_run(i64 count, i64 rows, i64 n, const T* x, const T* mean, const T* inverse_std, const T* gy, T* gw, T* gb) { \
    parameter_columns(count, rows, n, x, mean, inverse_std, gy, gw, gb);                                                       \
  }
MICA_LAYER_NORM(MICA_HOT, float)
MICA_LAYER_NORM(, double)

}  // namespace

template <class T>
void layer_norm_forward(Cpu& cpu, i64 rows, i64 n, double eps, const T* x, const T* w, const T* b, T* y, T* mean, T* inverse_std) {
  parallel_for(cpu, rows, 1 + 4096 / (n + 1), [&](i64 begin, i64 end) {
    for (i64 row = begin; row < end; ++row) forward_run(n, eps, x + row * n, w, b, y + row * n, mean + row, inverse_std + row);
  });
}

template <class T>
void layer_norm_backward(Cpu& cpu, i64 rows, i64 n, const T* x, const T* w, const T* mean, const T* inverse_std, const T* gy, T* gx,
                         T* gw, T* gb) {
  if (gx)
    parallel_for(cpu, rows, 1 + 4096 / (n + 1), [&](i64 begin, i64 end) {
      for (i64 row = begin; row < end; ++row) backward_run(n, x + row * n, w, mean[row], inverse_std[row], gy + row * n, gx + row * n);
    });
  if (!gw && !gb) return;
  parallel_for(cpu, (n + tile - 1) / tile, 1 + 4096 / (rows * tile + 1), [&](i64 begin, i64 end) {
    for (i64 c = begin * tile; c < std::min(n, end * tile); c += tile)
      parameter_run(std::min(tile, n - c), rows, n, x + c, mean, inverse_std, gy + c, gw ? gw + c : nullptr, gb ? gb + c : nullptr);
  });
}

#define MICA_FLOATING(T)                                                                                                             \
  template void layer_norm_forward(Cpu&, i64, i64, double, const T*, const T*, const T*, T*, T*, T*);                                \
  template void layer_norm_backward(Cpu&, i64, i64, const T*, const T*, const T*, const T*, const T*, T*, T*, T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
