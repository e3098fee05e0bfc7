// A training batch from a resident image set, in one kernel: gather, centre crop and resize, rotation, normalisation.
// Geometry is torchvision's on float tensors: pixel centres at integer + 0.5, fill 0 before normalising.
#pragma once

#include <mica/kernels/context.h>
#include <mica/kernels/dims.h>
#include <mica/kernels/philox.h>

namespace mica::kernels {

enum class Sampling { nearest, bilinear };

// What may happen to an image; the defaults change nothing.
struct Augmentation {
  double crop_probability = 0;  // of a centre crop to crop×crop pixels, resized back bilinearly
  i64 crop = 0;                 // pixels, 1 … min(h, w)
  double rotation = 0;          // degrees: the angle is uniform in [−rotation, rotation]
  Sampling sampling = Sampling::nearest;

  bool none() const { return crop_probability <= 0 && rotation <= 0; }
};

// What happens to one image: draw (kernels/image_transform.h) finds it from the key and the image's index in the set alone,
// whatever batch it is in.
struct ImageTransform {
  bool crop;
  double angle;  // degrees, counter-clockwise
};

// out[h×w] = transform(x) of src[h×w], with x/255 in [0, 1]; not normalised. On the CPU. buffer holds 2·h·w floats.
void transform_image(i64 h, i64 w, const std::uint8_t* src, const Augmentation& augmentation, const ImageTransform& transform,
                     float* buffer, float* out);

struct BatchDims {
  i64 n, h, w;
};

// y[k] = (transform(images[indices[k]]) − mean) / std, one channel; labels likewise, as i64. The same bits on all backends.
template <class T>
void gather_batch(Cpu& cpu, const BatchDims& d, const std::uint8_t* images, const std::uint8_t* labels, const i64* indices,
                  const Augmentation& augmentation, const RandomKey& key, double mean, double std, T* y, i64* targets);
template <class T>
void gather_batch(Cuda& cuda, const BatchDims& d, const std::uint8_t* images, const std::uint8_t* labels, const i64* indices,
                  const Augmentation& augmentation, const RandomKey& key, double mean, double std, T* y, i64* targets);

}  // namespace mica::kernels
