#include <mica/kernels/batch.h>
#include <mica/kernels/cpu/parallel.h>

#include <cmath>
#include <numbers>

namespace mica::kernels {
namespace {

// Value of an h×w image at (y, x) in pixels, 0 outside; `coverage` is how much of the sample lies inside.
struct Sample {
  float value, coverage;
};

Sample sample_bilinear(i64 h, i64 w, const float* image, float y, float x) {
  const float y0 = std::floor(y), x0 = std::floor(x), fy = y - y0, fx = x - x0;
  Sample s{0, 0};
  for (int dy = 0; dy < 2; ++dy)
    for (int dx = 0; dx < 2; ++dx) {
      const i64 i = static_cast<i64>(y0) + dy, j = static_cast<i64>(x0) + dx;
      const float weight = (dy ? fy : 1 - fy) * (dx ? fx : 1 - fx);
      if (i < 0 || i >= h || j < 0 || j >= w) continue;
      s.value += weight * image[i * w + j];
      s.coverage += weight;
    }
  return s;
}

// The inverse map about the centre: output pixel → source position.
void rotate(i64 h, i64 w, const float* image, double degrees, Sampling sampling, float* out) {
  const double radians = degrees * std::numbers::pi / 180;
  const double cosine = std::cos(radians), sine = std::sin(radians);
  const double cy = (static_cast<double>(h) - 1) / 2, cx = (static_cast<double>(w) - 1) / 2;
  for (i64 i = 0; i < h; ++i)
    for (i64 j = 0; j < w; ++j) {
      const double dy = static_cast<double>(i) - cy, dx = static_cast<double>(j) - cx;
      const float x = static_cast<float>(cosine * dx - sine * dy + cx), y = static_cast<float>(sine * dx + cosine * dy + cy);
      float value = 0;
      if (sampling == Sampling::nearest) {
        const i64 row = std::lrint(y), column = std::lrint(x);  // halves to even, as torch's grid_sample
        if (row >= 0 && row < h && column >= 0 && column < w) value = image[row * w + column];
      } else {
        const Sample s = sample_bilinear(h, w, image, y, x);
        value = s.value * s.coverage;  // torchvision blends the border with the fill a second time
      }
      out[i * w + j] = value;
    }
}

// The middle crop×crop pixels of an h×w image, resized bilinearly to h×w.
void crop_and_resize(i64 h, i64 w, const float* image, i64 crop, float* out) {
  const i64 top = std::lrint(static_cast<double>(h - crop) / 2), left = std::lrint(static_cast<double>(w - crop) / 2);
  const auto source = [crop](i64 position, i64 size) {
    const float scale = static_cast<float>(crop) / static_cast<float>(size);
    return std::clamp((static_cast<float>(position) + 0.5F) * scale - 0.5F, 0.0F, static_cast<float>(crop - 1));
  };
  for (i64 i = 0; i < h; ++i)
    for (i64 j = 0; j < w; ++j) {
      const float y = source(i, h), x = source(j, w);
      const i64 y0 = static_cast<i64>(y), x0 = static_cast<i64>(x);
      const i64 y1 = std::min(y0 + 1, crop - 1), x1 = std::min(x0 + 1, crop - 1);
      const float fy = y - static_cast<float>(y0), fx = x - static_cast<float>(x0);
      const auto at = [&](i64 row, i64 column) { return image[(top + row) * w + left + column]; };
      out[i * w + j] = (1 - fy) * ((1 - fx) * at(y0, x0) + fx * at(y0, x1)) + fy * ((1 - fx) * at(y1, x0) + fx * at(y1, x1));
    }
}

}  // namespace

ImageTransform draw(const Augmentation& augmentation, const RandomKey& key, i64 index) {
  const RandomBlock bits = philox(key, static_cast<std::uint32_t>(index));
  const double u0 = static_cast<double>(to_uniform(bits[0])), u1 = static_cast<double>(to_uniform(bits[1]));
  return {u0 < augmentation.crop_probability, augmentation.rotation * (2 * u1 - 1)};
}

void transform_image(i64 h, i64 w, const std::uint8_t* src, const Augmentation& augmentation, const ImageTransform& transform,
                     float* buffer, float* out) {
  const i64 pixels = h * w;
  const bool turn = augmentation.rotation > 0;
  float* plain = transform.crop || turn ? buffer : out;
  for (i64 i = 0; i < pixels; ++i) plain[i] = static_cast<float>(src[i]) / 255;
  float* cropped = plain;
  if (transform.crop) crop_and_resize(h, w, plain, augmentation.crop, cropped = turn ? buffer + pixels : out);
  if (turn) rotate(h, w, cropped, transform.angle, augmentation.sampling, out);
}

template <class T>
void gather_batch(Cpu& cpu, const BatchDims& d, const std::uint8_t* images, const std::uint8_t* labels, const i64* indices,
                  const Augmentation& augmentation, const RandomKey& key, double mean, double std, T* y, i64* targets) {
  const i64 pixels = d.h * d.w;
  float* buffers = cpu.scratch<float>(static_cast<std::size_t>(3 * pixels * d.n));  // n×(2 + 1)×h×w
  const float center = static_cast<float>(mean), spread = static_cast<float>(std);
  parallel_for(cpu, d.n, 16, [&](i64 begin, i64 end) {
    for (i64 k = begin; k < end; ++k) {
      const i64 index = indices[k];
      float* buffer = buffers + 3 * pixels * k;
      float* image = buffer + 2 * pixels;
      transform_image(d.h, d.w, images + index * pixels, augmentation, draw(augmentation, key, index), buffer, image);
      for (i64 i = 0; i < pixels; ++i) y[k * pixels + i] = static_cast<T>((image[i] - center) / spread);
      targets[k] = labels[index];
    }
  });
}

template void gather_batch(Cpu&, const BatchDims&, const std::uint8_t*, const std::uint8_t*, const i64*, const Augmentation&,
                           const RandomKey&, double, double, float*, i64*);
template void gather_batch(Cpu&, const BatchDims&, const std::uint8_t*, const std::uint8_t*, const i64*, const Augmentation&,
                           const RandomKey&, double, double, double*, i64*);

}  // namespace mica::kernels
