#include <mica/kernels/batch.h>
#include <mica/kernels/cpu/parallel.h>
#include <mica/kernels/image_transform.h>

#include <algorithm>

#define MICA_KERNELS <mica/kernels/cpu/image_loops.h>
#include <mica/kernels/cpu/each_instruction_set.h>

namespace mica::kernels {
namespace {

constexpr i64 buffers_of_image = 4;  // the image, what becomes of it, and two of noise, displacements or positions

// Noise becomes displacements: B·noise·Bᵀ. `between` is overwritten.
void blur(i64 h, i64 w, const Displacement& by, float* between, float* field) {
  MICA_CALL(product, h, h, w, by.rows, field, between);
  MICA_CALL(product, h, w, w, between, by.columns, field);
}

void sample(int h, int w, const Operation& operation, const float* x, const float* xs, const float* ys, float* y) {
  if (operation.interpolation == transforms::Interpolation::nearest) MICA_CALL(sample_nearest, h, w, operation.fill, x, xs, ys, y);
  else MICA_CALL(sample_bilinear, h, w, operation.fill, x, xs, ys, y);
}

void jitter(i64 pixels, const Jitter& by, float* x) {
  if (by.has_brightness) MICA_CALL(brighten, pixels, by.brightness, x);
  if (by.has_contrast) MICA_CALL(contrast, pixels, by.contrast, x);
}

// Of x: to y, or in place. Returns where the result is. fields: 2×h×w, the noise of an elastic operation.
float* apply(int h, int w, const Operation& operation, float* x, float* y, float* fields) {
  const i64 pixels = i64{h} * w;
  float *xs = fields, *ys = fields + pixels;
  switch (operation.kind) {
    case Operation::Kind::none: return x;
    case Operation::Kind::crop: MICA_CALL(crop, h, w, operation.crop, x, y); return y;
    case Operation::Kind::affine:
      MICA_CALL(affine_positions, h, w, operation.affine, xs, ys);
      sample(h, w, operation, x, xs, ys, y);
      return y;
    case Operation::Kind::elastic:
      for (float* field : {xs, ys}) blur(h, w, operation.elastic, y, field);
      MICA_CALL(elastic_positions, h, w, operation.elastic.scale, xs, ys);
      sample(h, w, operation, x, xs, ys, y);
      return y;
    case Operation::Kind::shift: MICA_CALL(shift, h, w, operation.shift, operation.fill, x, y); return y;
    case Operation::Kind::erase:
      for (int row = operation.erase.top; row < operation.erase.bottom; ++row)
        std::fill(x + row * w + operation.erase.left, x + row * w + operation.erase.right, operation.fill);
      return x;
    case Operation::Kind::jitter: jitter(pixels, operation.jitter, x); return x;
    case Operation::Kind::flip:
      for (int row = 0; row < h; ++row) std::reverse(x + row * w, x + (row + 1) * w);
      return x;
    case Operation::Kind::normalize: MICA_CALL(normalise, pixels, operation.normalize, x); return x;
  }
  return x;
}

// Image `index` of the set by the chain; buffers: buffers_of_image×h×w. Returns where the result is.
const float* augmented(int h, int w, const std::uint8_t* images, i64 index, const Chain& chain, const RandomKey& key, float* buffers) {
  const i64 pixels = i64{h} * w;
  float *image = buffers, *other = buffers + pixels, *fields = buffers + 2 * pixels;
  MICA_CALL(from_bytes, pixels, images + index * pixels, image);
  for (int number = 0; number < chain.count; ++number) {
    const Operation operation = draw(chain, number, key, index, h, w);
    if (operation.kind == Operation::Kind::elastic) MICA_CALL(draw_noise, image_key(key, index, number), 2 * pixels, fields);
    if (apply(h, w, operation, image, other, fields) == other) std::swap(image, other);
  }
  return image;
}

}  // namespace

float* transform_image(i64 h, i64 w, const Operation& operation, float* buffers) {
  return apply(static_cast<int>(h), static_cast<int>(w), operation, buffers, buffers + h * w, buffers + 2 * h * w);
}

template <class T>
void gather_batch(Cpu& cpu, const BatchDims& d, const std::uint8_t* images, const std::uint8_t* labels, const i64* indices,
                  const Chain& chain, const RandomKey& key, T* y, i64* targets) {
  const i64 pixels = d.h * d.w;
  float* all_buffers = cpu.scratch<float>(static_cast<std::size_t>(d.n * buffers_of_image * pixels));
  parallel_for(cpu, d.n, 16, [&](i64 begin, i64 end) {
    float* buffers = all_buffers + begin * buffers_of_image * pixels;  // the run's first image's, used for all, so that they stay in the cache
    for (i64 k = begin; k < end; ++k) {
      const i64 index = indices[k];
      const float* image = augmented(static_cast<int>(d.h), static_cast<int>(d.w), images, index, chain, key, buffers);
      std::copy_n(image, pixels, y + k * pixels);
      targets[k] = labels[index];
    }
  });
}

#define MICA_FLOATING(T)                                                                                                          \
  template void gather_batch(Cpu&, const BatchDims&, const std::uint8_t*, const std::uint8_t*, const i64*, const Chain&, const RandomKey&, T*, i64*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
