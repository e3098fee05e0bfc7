// A batch in one kernel. A block takes an image from transform to transform between buffers of h·w floats, which lie in shared memory
// where that is enough; pixels are counted in 32 bits.
#include <mica/kernels/batch.h>
#include <mica/kernels/cuda/launch.h>
#include <mica/kernels/image_transform.h>

#include <algorithm>

namespace mica::kernels {
namespace {

constexpr i64 most_threads = 256;

struct Buffers {
  float *image, *other;  // h×w each
  float *xs, *ys;        // h×w each, of elastic transforms: noise, then displacements
};

// f(i) for each i < n, i by i spread over the block; everyone sees what it wrote.
template <class F>
MICA_DEVICE void each(int n, const F& f) {
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) f(i);
  __syncthreads();
}

// y[i] = f(row, column) for each pixel.
template <class F>
MICA_DEVICE void paint(int h, int w, float* y, const F& f) {
  each(h * w, [=](int i) { y[i] = f(i / w, i % w); });
}

// c[m×n] = a[m×k]·b[k×n], every sum in the order of k.
MICA_DEVICE void product(int m, int k, int n, const float* a, const float* b, float* c) {
  paint(m, n, c, [=](int row, int column) {
    float sum = 0;
    for (int j = 0; j < k; ++j) sum = sum + a[row * k + j] * b[j * n + column];
    return sum;
  });
}

MICA_DEVICE void displacements(int h, int w, const RandomKey& key, const Displacement& by, const Buffers& at) {
  const int pixels = h * w;
  each((2 * pixels + 3) / 4, [=](int block) {
    const RandomBlock bits = philox(key, static_cast<std::uint32_t>(block));
    for (int i = 0; i < 4; ++i)
      if (4 * block + i < 2 * pixels) at.xs[4 * block + i] = noise_from(bits[static_cast<std::size_t>(i)]);  // ys lies behind xs
  });
  for (float* field : {at.xs, at.ys}) {
    product(h, h, w, by.rows, field, at.other);
    product(h, w, w, at.other, by.columns, field);
  }
}

MICA_DEVICE void jitter(int pixels, const Jitter& by, double* lanes, float* x) {
  if (by.has_brightness) each(pixels, [=](int i) { x[i] = brightened(x[i], by.brightness); });
  if (!by.has_contrast) return;
  each(mean_lanes, [=](int lane) {
    double sum = 0;
    for (int i = lane; i < pixels; i += mean_lanes) sum += static_cast<double>(x[i]);
    lanes[lane] = sum;
  });
  const float mean = mean_of(lanes, pixels);
  each(pixels, [=](int i) { x[i] = contrasted(x[i], by.contrast, mean); });
}

// Of at.image, which the result is in afterwards.
MICA_DEVICE void apply(int h, int w, const Operation& operation, const RandomKey& key, double* lanes, Buffers& at) {
  using Kind = Operation::Kind;
  const Filled<Floats> image{{w, at.image}, h, w, operation.fill};
  float* x = at.image;
  const auto in_place = [&](const auto& f) { each(h * w, [=](int i) { x[i] = f(i, x[i]); }); };
  const auto to_other = [&](const auto& f) {
    paint(h, w, at.other, f);
    const Buffers before = at;
    at.image = before.other, at.other = before.image;
  };
  switch (operation.kind) {
    case Kind::none: break;
    case Kind::crop: to_other(Cropped<Floats>{image.image, h, w, operation.crop}); break;
    case Kind::affine: to_other(Mapped<Floats>{image, operation.affine, operation.interpolation}); break;
    case Kind::elastic: {
      displacements(h, w, key, operation.elastic, at);
      const float scale = operation.elastic.scale, *xs = at.xs, *ys = at.ys;
      const auto interpolation = operation.interpolation;
      to_other([=](int row, int column) {
        return sampled(image, interpolation, displaced(row, column, scale, ys[row * w + column], xs[row * w + column]));
      });
      break;
    }
    case Kind::shift: to_other([=, by = operation.shift](int row, int column) { return image(row + by.down, column + by.right); }); break;
    case Kind::erase: in_place([=, value = operation.fill, box = operation.erase](int i, float v) { return box.contains(i / w, i % w) ? value : v; }); break;
    case Kind::jitter: jitter(h * w, operation.jitter, lanes, x); break;
    case Kind::flip: to_other([=](int row, int column) { return image(row, w - 1 - column); }); break;
    case Kind::normalize: in_place([=, to = operation.normalize](int, float v) { return normalised(v, to.mean, to.std); }); break;
  }
}

MICA_DEVICE float* shared_buffers() {
  MICA_SHARED_DYNAMIC(float, shared);
  return shared;
}

// images: N×h×w, labels: N, indices: n, workspace: a block's buffers for each block, or null; y: n×h×w, targets: n
template <class T>
__global__ void __launch_bounds__(most_threads)
    gather_batch_kernel(int n, int h, int w, int buffers, const std::uint8_t* images, const std::uint8_t* labels, const i64* indices, Chain chain,
                        RandomKey key, float* workspace, T* y, i64* targets) {
  MICA_SHARED(Operation, operation, [1]);
  MICA_SHARED(double, lanes, [mean_lanes]);
  const i64 pixels = i64{h} * w;
  float* first = workspace ? workspace + blockIdx.x * buffers * pixels : shared_buffers();
  for (int k = static_cast<int>(blockIdx.x); k < n; k += static_cast<int>(gridDim.x)) {
    const i64 index = indices[k];
    if (threadIdx.x == 0) targets[k] = labels[index];
    Buffers at{first, first + pixels, first + 2 * pixels, first + 3 * pixels};
    const Bytes bytes{w, images + index * pixels};
    paint(h, w, at.image, bytes);
    for (int number = 0; number < chain.count; ++number) {
      if (threadIdx.x == 0) operation[0] = draw(chain, number, key, index, h, w);
      __syncthreads();
      apply(h, w, operation[0], image_key(key, index, number), lanes, at);
      __syncthreads();  // before another operation is written
    }
    T* out = y + k * pixels;
    each(h * w, [=](int i) { out[i] = static_cast<T>(at.image[i]); });
  }
}

}  // namespace

template <class T>
void gather_batch(Cuda& cuda, const BatchDims& d, const std::uint8_t* images, const std::uint8_t* labels, const i64* indices,
                  const Chain& chain, const RandomKey& key, T* y, i64* targets) {
  const i64 pixels = d.h * d.w;  // at least 1
  if (d.n == 0) return;
  const i64 buffers = chain.has_elastic() ? 4 : 2;
  const i64 threads = std::min(most_threads, ceil_div(pixels, 32) * 32);
  const auto start = [&](i64 blocks, std::size_t shared_bytes, float* workspace) {
    launch(cuda, "gather_batch", gather_batch_kernel<T>, {dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(threads)), shared_bytes},
           static_cast<int>(d.n), static_cast<int>(d.h), static_cast<int>(d.w), static_cast<int>(buffers), images, labels, indices, chain, key, workspace, y,
           targets);
  };
  const std::size_t bytes = static_cast<std::size_t>(buffers * pixels) * sizeof(float), beside = 1024;  // beside: the operation and the lanes
  if (bytes + beside <= shared_bytes_without_asking) return start(d.n, bytes, nullptr);
  const i64 blocks = std::min<i64>(d.n, i64{cuda.multiprocessors()} * 4);
  const auto workspace = cuda.scratch<float>(blocks * buffers * pixels);
  start(blocks, 0, workspace.get());
}

#define MICA_FLOATING(T)                                                                                                            \
  template void gather_batch(Cuda&, const BatchDims&, const std::uint8_t*, const std::uint8_t*, const i64*, const Chain&, const RandomKey&, T*, i64*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
