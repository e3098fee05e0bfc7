// The geometry of augmentation (kernels/batch.h), pixel by pixel: one definition for all backends, of operations that every
// processor rounds alike, so that the CPU and the GPU give the same bits. No functions of the C library, whose last bit
// differs between them, and with contraction off a·b + c is rounded twice everywhere.
#pragma once

#include <mica/kernels/batch.h>
#include <mica/kernels/math.h>

namespace mica::kernels {

// ---- sine and cosine of an angle in degrees ----

struct Rotation {
  double cosine, sine;
};

// sin x and cos x for |x| ≤ π/4, to less than one unit in the last place. Source: FreeBSD's msun, k_sin.c and k_cos.c
// (Sun Microsystems, 1993), without the low half of x.
MICA_FUNCTION double sine_near_zero(double x) {
  const double z = x * x, r = 8.33333333332248946124e-03 + z * (-1.98412698298579493134e-04 +
                   z * (2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)));
  return x + z * x * (-1.66666666666666324348e-01 + z * r);
}
MICA_FUNCTION double cosine_near_zero(double x) {
  const double z = x * x, r = z * (4.16666666666666019037e-02 + z * (-1.38888888888741095749e-03 + z * (2.48015872894767294178e-05 +
                   z * (-2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)))));
  const double half = 0.5 * z, near = 1 - half;
  return near + ((1 - near - half) + z * r);
}

// Of |degrees| < 10⁹, to 2 units in the last place (tests/kernels/image_transform_test.cpp); exact at multiples of 90.
MICA_FUNCTION Rotation rotation_by(double degrees) {
  const double magic = 6755399441055744.0;                                 // 1.5·2⁵²: adding it rounds to an integer
  const double quadrant = (degrees * (1.0 / 90) + magic) - magic;
  const double x = (degrees - 90 * quadrant) * 0.017453292519943295;       // the difference is exact; π/180
  const double c = cosine_near_zero(x), s = sine_near_zero(x);
  switch (static_cast<i64>(quadrant) & 3) {
    case 0: return {c, s};
    case 1: return {-s, c};
    case 2: return {-c, -s};
    default: return {s, -c};
  }
}

// ---- images: h×w functions of row and column ----

struct Bytes {
  i64 w;
  const std::uint8_t* pixels;
  MICA_FUNCTION float operator()(i64 row, i64 column) const { return static_cast<float>(pixels[row * w + column]) / 255; }
};

struct Floats {
  i64 w;
  const float* pixels;
  MICA_FUNCTION float operator()(i64 row, i64 column) const { return pixels[row * w + column]; }
};

// The middle crop×crop pixels of an h×w image, resized bilinearly to h×w.
template <class Image>
struct Cropped {
  Image image;
  i64 h, w, crop;

  struct Between {
    i64 low, high;
    float part;  // of the way from low to high
  };
  MICA_FUNCTION Between source(i64 position, i64 size) const {
    const float scale = static_cast<float>(crop) / static_cast<float>(size), most = static_cast<float>(crop - 1);
    const float at = (static_cast<float>(position) + 0.5F) * scale - 0.5F, inside = at < 0.0F ? 0.0F : most < at ? most : at;
    const i64 low = static_cast<i64>(inside);
    return {low, low + 1 < crop ? low + 1 : crop - 1, inside - static_cast<float>(low)};
  }
  // Half of what is cut off, rounded to even where that is between two pixels.
  MICA_FUNCTION i64 margin(i64 size) const { return (size - crop) / 2 + ((size - crop) % 4 == 3 ? 1 : 0); }

  MICA_FUNCTION float operator()(i64 row, i64 column) const {
    const Between y = source(row, h), x = source(column, w);
    const i64 top = margin(h), left = margin(w);
    const float upper = (1 - x.part) * image(top + y.low, left + x.low) + x.part * image(top + y.low, left + x.high);
    const float lower = (1 - x.part) * image(top + y.high, left + x.low) + x.part * image(top + y.high, left + x.high);
    return (1 - y.part) * upper + y.part * lower;
  }
};

// The inverse map about the centre: output pixel → source position. 0 from outside.
template <class Image>
struct Rotated {
  Image image;
  i64 h, w;
  Rotation rotation;
  Sampling sampling;

  MICA_FUNCTION bool inside(i64 row, i64 column) const { return row >= 0 && row < h && column >= 0 && column < w; }

  MICA_FUNCTION float nearest(float y, float x) const {
    const i64 row = std::lrint(y), column = std::lrint(x);  // halves to even, as torch's grid_sample
    return inside(row, column) ? image(row, column) : 0;
  }

  MICA_FUNCTION float bilinear(float y, float x) const {
    const float y0 = std::floor(y), x0 = std::floor(x), fy = y - y0, fx = x - x0;
    float value = 0, coverage = 0;  // coverage: how much of the sample lies inside
    for (int dy = 0; dy < 2; ++dy)
      for (int dx = 0; dx < 2; ++dx) {
        const i64 row = static_cast<i64>(y0) + dy, column = static_cast<i64>(x0) + dx;
        const float weight = (dy ? fy : 1 - fy) * (dx ? fx : 1 - fx);
        if (!inside(row, column)) continue;
        value += weight * image(row, column);
        coverage += weight;
      }
    return value * coverage;  // torchvision blends the border with the fill a second time
  }

  MICA_FUNCTION float operator()(i64 row, i64 column) const {
    const double cy = (static_cast<double>(h) - 1) / 2, cx = (static_cast<double>(w) - 1) / 2;
    const double dy = static_cast<double>(row) - cy, dx = static_cast<double>(column) - cx;
    const float x = static_cast<float>(rotation.cosine * dx - rotation.sine * dy + cx);
    const float y = static_cast<float>(rotation.sine * dx + rotation.cosine * dy + cy);
    return sampling == Sampling::nearest ? nearest(y, x) : bilinear(y, x);
  }
};

// ---- what happens to an image ----

// Of image `index` of the set: a function of the key and the index alone.
MICA_FUNCTION ImageTransform draw(const Augmentation& augmentation, const RandomKey& key, i64 index) {
  const RandomBlock bits = philox(key, static_cast<std::uint32_t>(index));
  const double u0 = static_cast<double>(to_uniform(bits[0])), u1 = static_cast<double>(to_uniform(bits[1]));
  return {u0 < augmentation.crop_probability, augmentation.rotation * (2 * u1 - 1)};
}

template <class T>
MICA_FUNCTION T normalised(float value, float mean, float std) {
  return static_cast<T>((value - mean) / std);
}

}  // namespace mica::kernels
