#include <mica/kernels/cpu/parallel.h>
#include <mica/kernels/image_transform.h>

namespace mica::kernels {
namespace {

template <class Image>
void paint(i64 h, i64 w, const Image& image, float* out) {
  for (i64 row = 0; row < h; ++row)
    for (i64 column = 0; column < w; ++column) out[row * w + column] = image(row, column);
}

}  // namespace

// Each stage is painted whole, so that none is computed again for each pixel of the next.
void transform_image(i64 h, i64 w, const std::uint8_t* src, const Augmentation& augmentation, const ImageTransform& transform,
                     float* buffer, float* out) {
  const bool turn = augmentation.rotation > 0;
  float* plain = transform.crop || turn ? buffer : out;
  paint(1, h * w, Bytes{h * w, src}, plain);
  float* cropped = plain;
  if (transform.crop) {
    cropped = turn ? buffer + h * w : out;
    paint(h, w, Cropped<Floats>{{w, plain}, h, w, augmentation.crop}, cropped);
  }
  if (turn) paint(h, w, Rotated<Floats>{{w, cropped}, h, w, rotation_by(transform.angle), augmentation.sampling}, out);
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
      for (i64 i = 0; i < pixels; ++i) y[k * pixels + i] = normalised<T>(image[i], center, spread);
      targets[k] = labels[index];
    }
  });
}

template void gather_batch(Cpu&, const BatchDims&, const std::uint8_t*, const std::uint8_t*, const i64*, const Augmentation&,
                           const RandomKey&, double, double, float*, i64*);
template void gather_batch(Cpu&, const BatchDims&, const std::uint8_t*, const std::uint8_t*, const i64*, const Augmentation&,
                           const RandomKey&, double, double, double*, i64*);

}  // namespace mica::kernels
