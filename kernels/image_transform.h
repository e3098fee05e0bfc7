// The pixel formulas of augmentation: one definition for all backends, of operations that every processor rounds alike
// (kernels/image_operation.h says how). Geometry is torchvision's on float tensors: pixel centres at integer + 0.5.
#pragma once

#include <mica/kernels/image_operation.h>

namespace mica::kernels {

// ---- images: h×w functions of row and column ----

struct Bytes {
  int w;
  const std::uint8_t* pixels;
  MICA_FUNCTION float operator()(int row, int column) const { return static_cast<float>(pixels[row * w + column]) / 255; }
};

struct Floats {
  int w;
  const float* pixels;
  MICA_FUNCTION float operator()(int row, int column) const { return pixels[row * w + column]; }
};

// With `fill` around it.
template <class Image>
struct Filled {
  Image image;
  int h, w;
  float fill;
  MICA_FUNCTION float operator()(int row, int column) const { return row >= 0 && row < h && column >= 0 && column < w ? image(row, column) : fill; }
};

// ---- values between pixels ----

struct Position {
  float y, x;
};

// A position that an int holds; two pixels outside, or more, is all the same. NaN is outside.
MICA_FUNCTION float bounded(float position, int size) {
  const float most = static_cast<float>(size) + 1;
  return !(position > -2) ? -2 : position < most ? position : most;
}

// Halves to even, as torch's grid_sample does.
MICA_FUNCTION int nearest_to(float position, int size) {
  const float magic = 12582912.0F;  // 1.5·2²³: adding it rounds to an integer
  return static_cast<int>((bounded(position, size) + magic) - magic);
}

template <class Image>
MICA_FUNCTION float nearest(const Filled<Image>& image, const Position& p) {
  return image(nearest_to(p.y, image.h), nearest_to(p.x, image.w));
}

// The two rows (or columns) beside a position, and their weights; one outside the image is the row nearest to it, with weight 0.
struct Beside {
  int low, high;
  float low_weight, high_weight;
};
MICA_FUNCTION Beside beside(float position, int size) {
  const float at = bounded(position, size), floor = std::floor(at), part = at - floor;
  const int low = static_cast<int>(floor), high = low + 1;
  const auto inside = [=](int row) { return row < 0 ? 0 : row < size ? row : size - 1; };
  const int in_low = inside(low), in_high = inside(high);
  // By masks rather than choices, which would be branches and keep a loop over pixels from becoming vector code.
  const auto where = [](bool keep, float weight) { return math::from_bits(math::to_bits(weight) & -static_cast<int>(keep)); };
  return {in_low, in_high, where(in_low == low, 1 - part), where(in_high == high, part)};
}

struct Weights {
  float upper_left, upper_right, lower_left, lower_right;
  MICA_FUNCTION Weights(const Beside& y, const Beside& x)
      : upper_left(y.low_weight * x.low_weight), upper_right(y.low_weight * x.high_weight), lower_left(y.high_weight * x.low_weight),
        lower_right(y.high_weight * x.high_weight) {}
};

// Of four pixels and a border of `fill`, with which torchvision blends what is near it a second time.
MICA_FUNCTION float blend(const Weights& w, float upper_left, float upper_right, float lower_left, float lower_right, float fill) {
  const float value = w.upper_left * upper_left + w.upper_right * upper_right + w.lower_left * lower_left + w.lower_right * lower_right;
  const float coverage = w.upper_left + w.upper_right + w.lower_left + w.lower_right;  // how much of the sample lies inside
  return value * coverage + (1 - coverage) * fill;
}

template <class Image>
MICA_FUNCTION float bilinear(const Filled<Image>& image, const Position& p) {
  const Beside y = beside(p.y, image.h), x = beside(p.x, image.w);
  const Image& v = image.image;
  return blend({y, x}, v(y.low, x.low), v(y.low, x.high), v(y.high, x.low), v(y.high, x.high), image.fill);
}

template <class Image>
MICA_FUNCTION float sampled(const Filled<Image>& image, transforms::Interpolation interpolation, const Position& p) {
  return interpolation == transforms::Interpolation::nearest ? nearest(image, p) : bilinear(image, p);
}

// ---- images made of images ----

// The middle crop×crop pixels, resized bilinearly to h×w.
template <class Image>
struct Cropped {
  Image image;
  int h, w, crop;

  struct Between {
    int low, high;
    float part;  // of the way from low to high
  };
  MICA_FUNCTION Between source(int position, int size) const {
    const float scale = static_cast<float>(crop) / static_cast<float>(size), most = static_cast<float>(crop - 1);
    const float at = (static_cast<float>(position) + 0.5F) * scale - 0.5F, inside = at < 0.0F ? 0.0F : most < at ? most : at;
    const int low = static_cast<int>(inside);
    return {low, low + 1 < crop ? low + 1 : crop - 1, inside - static_cast<float>(low)};
  }
  // Half of what is cut off, rounded to even where that is between two pixels.
  MICA_FUNCTION int margin(int size) const { return (size - crop) / 2 + ((size - crop) % 4 == 3 ? 1 : 0); }

  MICA_FUNCTION float operator()(int row, int column) const {
    const Between y = source(row, h), x = source(column, w);
    const int top = margin(h), left = margin(w);
    const float upper = (1 - x.part) * image(top + y.low, left + x.low) + x.part * image(top + y.low, left + x.high);
    const float lower = (1 - x.part) * image(top + y.high, left + x.low) + x.part * image(top + y.high, left + x.high);
    return (1 - y.part) * upper + y.part * lower;
  }
};

// Where the affine map takes an output pixel from.
MICA_FUNCTION Position source_of(const AffineMap& map, int h, int w, int row, int column) {
  const float dy = static_cast<float>(row) - static_cast<float>(h - 1) * 0.5F, dx = static_cast<float>(column) - static_cast<float>(w - 1) * 0.5F;
  return {map.yx * dx + (map.yy * dy + map.y0), map.xx * dx + (map.xy * dy + map.x0)};
}

template <class Image>
struct Mapped {
  Filled<Image> image;
  AffineMap map;
  transforms::Interpolation interpolation;

  MICA_FUNCTION float operator()(int row, int column) const {
    return sampled(image, interpolation, source_of(map, image.h, image.w, row, column));
  }
};

// ---- elastic displacements ----

// Numbers 0 … h·w − 1 of the noise displace along x, the next h·w along y.
MICA_FUNCTION float noise_from(std::uint32_t bits) { return static_cast<float>(static_cast<std::int32_t>(bits >> 8)) * 0x1p-23F - 1; }

MICA_FUNCTION Position displaced(int row, int column, float scale, float dy, float dx) {
  return {static_cast<float>(row) + scale * dy, static_cast<float>(column) + scale * dx};
}

// ---- single pixels ----

MICA_FUNCTION float clamped(float value) { return value < 0 ? 0 : value > 1 ? 1 : value; }
MICA_FUNCTION float brightened(float value, float factor) { return clamped(factor * value); }
MICA_FUNCTION float contrasted(float value, float factor, float mean) { return clamped(factor * value + (1 - factor) * mean); }
MICA_FUNCTION float normalised(float value, float mean, float std) { return (value - mean) / std; }

// An image's mean is the sum of this many partial sums in f64, one after the other; partial sum l is of pixels l, l + 32, …
inline constexpr int mean_lanes = 32;

MICA_FUNCTION float mean_of(const double* lanes, i64 pixels) {
  double sum = 0;
  for (int lane = 0; lane < mean_lanes; ++lane) sum += lanes[lane];
  return static_cast<float>(sum / static_cast<double>(pixels));
}

}  // namespace mica::kernels
