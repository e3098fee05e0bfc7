// Batch normalisation: sums down the rows in two stages (column_sums.h), and passes over all elements, four a thread.
#include <mica/kernels/batch_norm_channel.h>
#include <mica/kernels/cuda/block_reduce.h>
#include <mica/kernels/cuda/column_sums.h>
#include <mica/kernels/cuda/cudnn_ops.h>
#include <mica/kernels/cuda/four.h>
#include <mica/kernels/cuda/launch.h>
#include <mica/kernels/cuda/strided.h>

namespace mica::kernels {
namespace {

// ---- sums ----

// Of a block of rows, about its first row x₀: from Σ(x − x₀) and Σ(x − x₀)² the mean and Σ(x − mean)².
template <class T, int width>
struct Moments {
  const T* x;
  i64* batches;  // counted here, one launch before the count is read
  Elements<T, width> origin;

  MICA_DEVICE void begin(unsigned first, unsigned) {
    if (batches && blockIdx.x == 0 && threadIdx.x == 0) ++*batches;
    origin = load<width>(x + first);
  }
  MICA_DEVICE void add(unsigned at, T* total, T* square) const {
    const Elements<T, width> here = load<width>(x + at);
    for (int i = 0; i < width; ++i) {
      const T difference = here.at[i] - origin.at[i];
      total[i] += difference;
      square[i] = math::multiply_add<true>(difference, difference, square[i]);
    }
  }
  MICA_DEVICE void finish(unsigned rows, int i, double& total, double& square) const {
    const double by_rows = total / rows;
    square -= total * by_rows;
    total = static_cast<double>(origin.at[i]) + by_rows;
  }
};

// What backward reads, and the gradient that reaches z: keep_scale·gy where the ReLU was active. Its output is y, or is
// made again from x.
template <class T>
struct Reached {
  const T *x, *y, *gy;  // y: null but with dropout
  BatchNormFactors<T> by;
  bool relu;
  T keep_scale;

  MICA_DEVICE T gradient(T output, T gradient_of_y) const { return relu && output <= T(0) ? T(0) : keep_scale * gradient_of_y; }
};

// Σ g and Σ g·(x − mean).
template <class T, int width>
struct GradientSums {
  Reached<T> from;
  Elements<T, width> mean, scale, shift;

  MICA_DEVICE void begin(unsigned, unsigned channel) {
    mean = load<width>(from.by.mean + channel);
    scale = load<width>(from.by.scale + channel);
    shift = load<width>(from.by.shift + channel);
  }
  MICA_DEVICE void add(unsigned at, T* total, T* product) const {
    const Elements<T, width> x = load<width>(from.x + at), gy = load<width>(from.gy + at), y = from.y ? load<width>(from.y + at) : x;
    for (int i = 0; i < width; ++i) {
      const T g = from.gradient(from.y ? y.at[i] : x.at[i] * scale.at[i] + shift.at[i], gy.at[i]);
      total[i] += g;
      product[i] = math::multiply_add<true>(g, x.at[i] - mean.at[i], product[i]);
    }
  }
  MICA_DEVICE void finish(unsigned, int, double&, double&) const {}
};

// ---- what a channel's sums give; a warp for each channel ----

constexpr int warps_per_block = threads_per_block / warp_size;

LaunchShape warp_each(i64 channels) { return {dim3(static_cast<unsigned>(ceil_div(channels, warps_per_block))), dim3(threads_per_block)}; }
MICA_DEVICE unsigned channel_of_warp() { return blockIdx.x * warps_per_block + threadIdx.x / warp_size; }

// f(block) summed over all blocks, known to the whole warp.
template <class F>
MICA_DEVICE double over_blocks(unsigned blocks, const F& f) {
  double sum = 0;
  for (unsigned block = threadIdx.x % warp_size; block < blocks; block += warp_size) sum += f(block);
  return warp_reduce(sum, Plus());
}

// Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979, for all blocks at
// once: mean = Σ rows_b·mean_b / rows, deviation = Σ deviation_b + rows_b·(mean_b − mean)².
template <class T>
__global__ void learn_kernel(Columns columns, const double* sums, BatchNormParameters<T> parameters, RunningStatistics<T> running,
                             T* variance, NewBatchNormFactors<T> factors) {
  const unsigned c = channel_of_warp(), blocks = columns.blocks;
  if (c >= columns.channels) return;
  const double *means = sums + static_cast<i64>(c) * 2 * blocks, *deviations = means + blocks;
  const double origin = means[0], rows = columns.rows;  // equal values have exactly this mean
  const double mean = origin + over_blocks(blocks, [=](unsigned b) { return columns.rows_of(b) * (means[b] - origin); }) / rows;
  const double deviation = over_blocks(blocks, [=](unsigned b) {
    const double off = means[b] - mean;
    return deviations[b] + columns.rows_of(b) * off * off;
  });
  if (threadIdx.x % warp_size > 0) return;
  const T rounded_mean = static_cast<T>(mean);
  variance[c] = static_cast<T>(deviation < 0 ? 0.0 : deviation / rows);  // NaN passes
  update_running(c, columns.rows, rounded_mean, variance[c], running);
  make_factors(c, rounded_mean, variance[c], parameters, factors);
}

template <class T>
__global__ void fold_kernel(unsigned channels, const T* mean, const T* variance, BatchNormParameters<T> parameters, NewBatchNormFactors<T> factors) {
  for (unsigned c = first_item(); c < channels; c += item_step()) make_factors(c, mean[c], variance[c], parameters, factors);
}

__global__ void count_kernel(i64* batches) { ++*batches; }

// gw, gb, and of gx = by_g·g + by_x·(x − mean) + constant the factors: slopes[3×channels].
template <class T>
__global__ void parameter_gradient_kernel(Columns columns, const double* sums, const T* inverse_std, const T* w, bool training, T* gw, T* gb, T* slopes) {
  const unsigned c = channel_of_warp(), blocks = columns.blocks;
  if (c >= columns.channels) return;
  const double *totals = sums + static_cast<i64>(c) * 2 * blocks, *products = totals + blocks;
  const double total = over_blocks(blocks, [=](unsigned b) { return totals[b]; });
  const double product = over_blocks(blocks, [=](unsigned b) { return products[b]; });
  if (threadIdx.x % warp_size > 0) return;
  const double s = static_cast<double>(inverse_std[c]), scale = s * static_cast<double>(w[c]), n = columns.rows;
  gb[c] = static_cast<T>(total);
  gw[c] = static_cast<T>(product * s);
  slopes[c] = static_cast<T>(scale);
  slopes[columns.channels + c] = static_cast<T>(training ? -scale * s * s * product / n : 0);
  slopes[2 * columns.channels + c] = static_cast<T>(training ? -scale * total / n : 0);
}

// ---- passes over all elements, four a thread ----

struct Pass {
  unsigned n;
  Divider channels;
  bool packed, packed_channels;

  template <class... P>
  Pass(const BatchNormDims& d, bool aligned, const P*... per_channel)
      : n(static_cast<unsigned>(d.rows * d.channels)), channels(d.channels), packed(aligned), packed_channels(d.channels % 4 == 0 && all_aligned(per_channel...)) {}
  unsigned fours() const { return (n + 3) / 4; }

  MICA_DEVICE unsigned channel(unsigned i) const { return i - channels.divide(i) * channels.divisor; }
  // Of the channels of four elements, the first of which is c.
  template <class T>
  MICA_DEVICE Four<T> by_channel(const T* values, unsigned c) const {
    if (packed_channels) return load_four(values, c, channels.divisor, true);
    Four<T> four;
    for (int k = 0; k < 4; ++k, ++c) {
      if (c == channels.divisor) c = 0;
      four.at[k] = values[c];
    }
    return four;
  }
};

template <bool dropped, class T>
__global__ void apply_kernel(Pass pass, const T* x, const T* scale, const T* shift, bool relu, RandomKey given, std::uint64_t threshold, T keep_scale, T* y) {
  const RandomKey key = given.in_kernel();
  for (unsigned block = first_item(); block < (pass.n + 3) / 4; block += item_step()) {
    const unsigned i = 4 * block, c = pass.channel(i);
    const Four<T> from = load_four(x, i, pass.n, pass.packed), scales = pass.by_channel(scale, c), shifts = pass.by_channel(shift, c);
    Four<T> to;
    for (int k = 0; k < 4; ++k) {
      const T z = from.at[k] * scales.at[k] + shifts.at[k];
      to.at[k] = relu && z < T(0) ? T(0) : z;
    }
    if constexpr (dropped) {
      const RandomBlock bits = philox(key, block);
      for (int k = 0; k < 4; ++k) to.at[k] = bits[k] >= threshold ? keep_scale * to.at[k] : T(0);
    }
    store_four(y, i, pass.n, pass.packed, to);
  }
}

template <class T>
__global__ void input_gradient_kernel(Pass pass, Reached<T> from, const T* slopes, bool through_x, T* gx) {
  for (unsigned block = first_item(); block < (pass.n + 3) / 4; block += item_step()) {
    const unsigned i = 4 * block, c = pass.channel(i), channels = pass.channels.divisor;
    const bool remade = from.relu && !from.y;
    const Four<T> x = remade || through_x ? load_four(from.x, i, pass.n, pass.packed) : Four<T>{}, gy = load_four(from.gy, i, pass.n, pass.packed);
    Four<T> output = from.y ? load_four(from.y, i, pass.n, pass.packed) : x, to;
    if (remade) {
      const Four<T> scale = pass.by_channel(from.by.scale, c), shift = pass.by_channel(from.by.shift, c);
      for (int k = 0; k < 4; ++k) output.at[k] = x.at[k] * scale.at[k] + shift.at[k];
    }
    const Four<T> by_g = pass.by_channel(slopes, c);
    for (int k = 0; k < 4; ++k) to.at[k] = by_g.at[k] * from.gradient(output.at[k], gy.at[k]);
    if (through_x) {
      const Four<T> mean = pass.by_channel(from.by.mean, c), by_x = pass.by_channel(slopes + channels, c), constant = pass.by_channel(slopes + 2 * channels, c);
      for (int k = 0; k < 4; ++k) to.at[k] = to.at[k] + by_x.at[k] * (x.at[k] - mean.at[k]) + constant.at[k];
    }
    store_four(gx, i, pass.n, pass.packed, to);
  }
}

// f(width) with the channels of a thread in sums: a pack, or one where channels or pointers do not allow it.
template <class T, class F>
void with_width(const BatchNormDims& d, bool aligned, const F& f) {
  if (aligned && d.channels % Pack<T>::size == 0) f(std::integral_constant<int, Pack<T>::size>());
  else f(std::integral_constant<int, 1>());
}

}  // namespace

template <class T>
void batch_norm_of_batch(Cuda& cuda, const BatchNormDims& d, const T* x, const BatchNormParameters<T>& parameters,
                         const RunningStatistics<T>& running, T* variance, const NewBatchNormFactors<T>& factors) {
  with_width<T>(d, all_aligned(x), [&](auto width) {
    const Columns columns(d.rows, d.channels, width);
    const auto sums = cuda.scratch<double>(d.channels * 2 * columns.blocks);
    column_sums<T, width>(cuda, "batch_norm_statistics", columns, Moments<T, width>{x, running.batches, {}}, sums.get());
    launch(cuda, "batch_norm_learn", learn_kernel<T>, warp_each(d.channels), columns, sums.get(), parameters, running, variance, factors);
  });
}

template <class T>
void batch_norm_of_running(Cuda& cuda, i64 channels, const T* mean, const T* variance, const BatchNormParameters<T>& parameters,
                           const NewBatchNormFactors<T>& factors) {
  launch(cuda, "batch_norm_fold", fold_kernel<T>, grid_for(cuda, channels), static_cast<unsigned>(channels), mean, variance, parameters, factors);
}

template <class T>
void batch_norm_apply(Cuda& cuda, const BatchNormDims& d, const T* x, const T* scale, const T* shift, const Epilogue& epilogue, T* y) {
  const Pass pass(d, all_aligned(x, y), scale, shift);
  const Dropout& dropout = epilogue.dropout;
  launch(cuda, "batch_norm_apply", dropout.p > 0 ? apply_kernel<true, T> : apply_kernel<false, T>, grid_for(cuda, pass.fours()), pass, x, scale,
         shift, epilogue.relu, dropout.key, dropout.threshold(), static_cast<T>(dropout.scale()), y);
}

template <class T>
bool batch_norm_by_cudnn(Cuda& cuda, const BatchNormDims& d, const T* x, const BatchNormParameters<T>& parameters, const RunningStatistics<T>& running,
                         bool training, const NewBatchNormFactors<T>& factors, T* y) {
  if (!training) return MICA_BY_CUDNN(batch_norm, cudnn_ops::batch_norm_evaluate(cuda, d, x, parameters, running.mean, running.variance, y));
  if (!MICA_BY_CUDNN(batch_norm, cudnn_ops::batch_norm_train(cuda, d, x, parameters, running, factors, y))) return false;
  if (running.batches) launch(cuda, "batch_norm_count", count_kernel, {dim3(1), dim3(1)}, running.batches);
  return true;
}

template <class T>
bool batch_norm_backward_by_cudnn(Cuda& cuda, const BatchNormDims& d, const T* x, const T* gy, double eps, const BatchNormFactors<T>& factors,
                                  const T* w, T* gx, T* gw, T* gb) {
  return MICA_BY_CUDNN(batch_norm, cudnn_ops::batch_norm_backward(cuda, d, x, gy, eps, factors, w, gx, gw, gb));
}

template <class T>
void batch_norm_backward(Cuda& cuda, const BatchNormDims& d, const T* x, const T* y, const T* gy, const BatchNormFactors<T>& by,
                         const T* w, bool training, const Epilogue& epilogue, T* gx, T* gw, T* gb) {
  const bool dropped = epilogue.dropout.p > 0;
  const Reached<T> from{x, dropped ? y : nullptr, gy, by, epilogue.relu, dropped ? static_cast<T>(epilogue.dropout.scale()) : T(1)};
  const auto slopes = cuda.scratch<T>(3 * d.channels);
  with_width<T>(d, all_aligned(x, from.y, gy, by.mean, by.scale, by.shift), [&](auto width) {
    const Columns columns(d.rows, d.channels, width);
    const auto sums = cuda.scratch<double>(d.channels * 2 * columns.blocks);
    column_sums<T, width>(cuda, "batch_norm_gradient_sums", columns, GradientSums<T, width>{from, {}, {}, {}}, sums.get());
    launch(cuda, "batch_norm_parameter_gradient", parameter_gradient_kernel<T>, warp_each(d.channels), columns, sums.get(), by.inverse_std, w,
           training, gw, gb, slopes.get());
  });
  if (!gx) return;
  const Pass pass(d, all_aligned(x, from.y, gy, gx), by.mean, by.scale, by.shift);
  launch(cuda, "batch_norm_input_gradient", input_gradient_kernel<T>, grid_for(cuda, pass.fours()), pass, from, slopes.get(), training, gx);
}

#define MICA_FLOATING(T)                                                                                                            \
  template void batch_norm_of_batch(Cuda&, const BatchNormDims&, const T*, const BatchNormParameters<T>&,                           \
                                    const RunningStatistics<T>&, T*, const NewBatchNormFactors<T>&);                                \
  template void batch_norm_of_running(Cuda&, i64, const T*, const T*, const BatchNormParameters<T>&, const NewBatchNormFactors<T>&); \
  template void batch_norm_apply(Cuda&, const BatchNormDims&, const T*, const T*, const T*, const Epilogue&, T*);                   \
  template bool batch_norm_by_cudnn(Cuda&, const BatchNormDims&, const T*, const BatchNormParameters<T>&,                           \
                                    const RunningStatistics<T>&, bool, const NewBatchNormFactors<T>&, T*);                          \
  template bool batch_norm_backward_by_cudnn(Cuda&, const BatchNormDims&, const T*, const T*, double, const BatchNormFactors<T>&,   \
                                             const T*, T*, T*, T*);                                                                 \
  template void batch_norm_backward(Cuda&, const BatchNormDims&, const T*, const T*, const T*, const BatchNormFactors<T>&, const T*, \
                                    bool, const Epilogue&, T*, T*, T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
