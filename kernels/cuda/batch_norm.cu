// Batch normalisation: sums down the rows in two stages (column_sums.h), and passes over all elements, four a thread.
#include <mica/kernels/conv2d_chain.h>
#include <mica/kernels/cuda/batch_norm_sums.h>
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

// Σ g and Σ g·(x − mean). g is stored too where there is a place for it.
template <class T, int width>
struct GradientSums {
  Reached<T> from;
  T* place;
  Elements<T, width> mean, scale, shift;

  MICA_DEVICE void begin(unsigned, unsigned channel) {
    mean = load<width>(from.by.mean + channel);
    scale = load<width>(from.by.scale + channel);
    shift = load<width>(from.by.shift + channel);
  }
  MICA_DEVICE void add(unsigned at, T* total, T* product) const {
    const Elements<T, width> x = load<width>(from.x + at), gy = load<width>(from.gy + at), y = from.y ? load<width>(from.y + at) : x;
    Elements<T, width> g;
    for (int i = 0; i < width; ++i) {
      g.at[i] = from.gradient(from.y ? y.at[i] : x.at[i] * scale.at[i] + shift.at[i], gy.at[i]);
      total[i] += g.at[i];
      product[i] = math::multiply_add<true>(g.at[i], x.at[i] - mean.at[i], product[i]);
    }
    if (place) store<width>(place + at, g);
  }
  MICA_DEVICE void finish(unsigned, int, double&, double&) const {}
};

// ---- small kernels ----

template <class T>
__global__ void fold_kernel(unsigned channels, const T* mean, const T* variance, BatchNormParameters<T> parameters, NewBatchNormFactors<T> factors) {
  for (unsigned c = first_item(); c < channels; c += item_step()) make_factors(c, mean[c], variance[c], parameters, factors);
}

__global__ void count_kernel(i64* batches) { ++*batches; }

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

// What sums down the rows give; slopes and before: batch_norm_sums.h.
template <class T>
struct ParameterGradients {
  const T* w;
  bool training;
  T *gw, *gb, *slopes, *before = nullptr;
};

// f(width) with the channels of a thread in sums: a pack, or one where channels or pointers do not allow it.
template <class T, class F>
void with_width(const BatchNormDims& d, bool aligned, const F& f) {
  if (aligned && d.channels % Pack<T>::size == 0) f(std::integral_constant<int, Pack<T>::size>());
  else f(std::integral_constant<int, 1>());
}

template <class T>
Reached<T> reached(const T* x, const T* y, const T* gy, const BatchNormFactors<T>& by, const Epilogue& epilogue) {
  const bool dropped = epilogue.dropout.p > 0;
  return {x, dropped ? y : nullptr, gy, by, epilogue.relu, dropped ? static_cast<T>(epilogue.dropout.scale()) : T(1)};
}

// place: for what reaches z, or null.
template <class T>
void parameter_gradients(Cuda& cuda, const BatchNormDims& d, const Reached<T>& from, const ParameterGradients<T>& of, T* place) {
  const BatchNormFactors<T>& by = from.by;
  with_width<T>(d, all_aligned(from.x, from.y, from.gy, place, by.mean, by.scale, by.shift), [&](auto width) {
    const Columns columns(d.rows, d.channels, width);
    const auto sums = cuda.scratch<double>(d.channels * 2 * columns.blocks);
    column_sums<T, width>(cuda, "batch_norm_gradient_sums", columns, GradientSums<T, width>{from, place, {}, {}, {}}, sums.get());
    launch(cuda, "batch_norm_parameter_gradient", parameter_gradient_kernel<T, Columns>, warp_each(d.channels), columns, sums.get(), by.inverse_std, of.w,
           of.training, of.gw, of.gb, of.slopes, of.before);
  });
}

template <class T>
void input_gradient(Cuda& cuda, const BatchNormDims& d, const Reached<T>& from, const T* slopes, bool training, T* gx) {
  const Pass pass(d, all_aligned(from.x, from.y, from.gy, gx), from.by.mean, from.by.scale, from.by.shift);
  launch(cuda, "batch_norm_input_gradient", input_gradient_kernel<T>, grid_for(cuda, pass.fours()), pass, from, slopes, training, gx);
}

}  // namespace

template <class T>
void batch_norm_of_batch(Cuda& cuda, const BatchNormDims& d, const T* x, const BatchNormParameters<T>& parameters,
                         const RunningStatistics<T>& running, T* variance, const NewBatchNormFactors<T>& factors) {
  with_width<T>(d, all_aligned(x), [&](auto width) {
    const Columns columns(d.rows, d.channels, width);
    const auto sums = cuda.scratch<double>(d.channels * 2 * columns.blocks);
    column_sums<T, width>(cuda, "batch_norm_statistics", columns, Moments<T, width>{x, running.batches, {}}, sums.get());
    launch(cuda, "batch_norm_learn", learn_kernel<T, Columns>, warp_each(d.channels), columns, sums.get(), parameters, running, variance, factors);
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
  const Reached<T> from = reached(x, y, gy, by, epilogue);
  const auto slopes = cuda.scratch<T>(3 * d.channels);
  parameter_gradients<T>(cuda, d, from, {w, training, gw, gb, slopes.get()}, nullptr);
  if (gx) input_gradient(cuda, d, from, slopes.get(), training, gx);
}

// ---- the ends of a chain of convolutions ----

void conv2d_chain_reached(Cuda& cuda, const BatchNormDims& d, const float* x, const float* y, const float* gy, const BatchNormFactors<float>& by,
                          const Dropout& dropout, float* g, const ChainNormGradients& norm) {
  parameter_gradients<float>(cuda, d, reached(x, y, gy, by, {true, dropout}), {norm.w, norm.training, norm.gw, norm.gb, norm.slopes, norm.before}, g);
}

void conv2d_chain_input_gradient(Cuda& cuda, const BatchNormDims& d, const ChainGradient& gradient, float* gx) {
  const BatchNormFactors<float> by{gradient.mean, nullptr, gradient.mean, gradient.mean};  // scale and shift are not used without a ReLU
  input_gradient(cuda, d, reached<float>(gradient.y, nullptr, gradient.g, by, {}), gradient.slopes, gradient.y != nullptr, gx);
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
