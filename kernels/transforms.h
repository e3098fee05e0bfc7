// Random transforms of grey images and their parameters, named as torchvision's. An image keeps its size h×w. What a transform does to
// one image is drawn by kernels/image_operation.h.
#pragma once

#include <mica/kernels/dims.h>

#include <array>
#include <variant>

namespace mica::transforms {

using kernels::i64;

enum class Interpolation { nearest, bilinear };

// From low to high; one number, as in torchvision, stands for −number to number.
struct Range {
  double low, high;
  constexpr Range(double size) : low(-size), high(size) {}
  constexpr Range(double from, double to) : low(from), high(to) {}
  constexpr bool is(double value) const { return low == value && high == value; }
};

// The middle size×size pixels, resized bilinearly to h×w: torchvision's CenterCrop, then Resize.
struct CenterCropResize {
  i64 size;
};

// About the image's centre, counter-clockwise. `fill` is what lies outside the image, here and below.
struct RandomRotation {
  Range degrees;
  Interpolation interpolation = Interpolation::nearest;
  double fill = 0;
};

// Shear, scaling and clockwise rotation about the centre, then a translation by whole pixels.
struct RandomAffine {
  Range degrees = 0;
  std::array<double, 2> translate = {0, 0};  // at most, in widths to the right or left and in heights up or down
  Range scale = {1, 1};
  Range shear_x = 0, shear_y = 0;  // degrees
  Interpolation interpolation = Interpolation::nearest;
  double fill = 0;
};

// Displacements of pixels by noise from U(−alpha/2, alpha/2) pixels, smoothed by a Gaussian of deviation sigma pixels.
struct ElasticTransform {
  double alpha = 50, sigma = 5;
  Interpolation interpolation = Interpolation::bilinear;
  double fill = 0;
};

// A window of h×w pixels of the image with `padding` pixels of fill around it.
struct RandomCrop {
  i64 padding;
  double fill = 0;
};

// With probability p, a rectangle gets `value`: its area is a part of the image's from `scale`, its height/width from `ratio`.
struct RandomErasing {
  double p = 0.5;
  Range scale = {0.02, 0.33}, ratio = {0.3, 3.3};
  double value = 0;
};

// Brightness, then contrast (torchvision draws the order), each by a factor from [max(0, 1 − b), 1 + b]; results are clamped to [0, 1].
struct ColorJitter {
  double brightness = 0, contrast = 0;
};

struct RandomHorizontalFlip {
  double p = 0.5;
};

// (x − mean) / std. Pixels are in [0, 1] before.
struct Normalize {
  double mean, std;
};

using Transform = std::variant<CenterCropResize, RandomRotation, RandomAffine, ElasticTransform, RandomCrop, RandomErasing, ColorJitter,
                               RandomHorizontalFlip, Normalize>;

}  // namespace mica::transforms

namespace mica::kernels {

inline constexpr int most_transforms = 12;

// Transforms that are applied one after the other, as kernels take them (data/augmentation.h makes one).
struct Chain {
  struct Link {
    transforms::Transform transform = transforms::Normalize{0, 1};
    double p = 1;      // of being applied, …
    int decider = 0;   // … by one draw for all links with this number, which is the first one's
    i64 blur = 0;      // of an elastic transform: where its matrices begin
  };
  std::array<Link, most_transforms> links;
  int count = 0;
  const float* blurs = nullptr;  // where the images are: for each elastic transform B (h×h), then Bᵀ (w×w) of data/gaussian_blur.h

  bool has_elastic() const {
    for (int i = 0; i < count; ++i)
      if (std::holds_alternative<transforms::ElasticTransform>(links[static_cast<std::size_t>(i)].transform)) return true;
    return false;
  }
};

}  // namespace mica::kernels
