// What a transform (kernels/transforms.h) does to one image: an operation without chance, drawn by the key, the image's index in the
// set and the transform's place in its chain alone. Like all of augmentation it is made of operations that every processor rounds alike,
// so that the CPU and the GPU give the same bits: no functions of the C library, whose last bit differs between them, and with
// contraction off a·b + c is rounded twice everywhere.
#pragma once

#include <mica/kernels/philox.h>
#include <mica/kernels/rotation.h>
#include <mica/kernels/transforms.h>

namespace mica::kernels {

// Output pixel → source position, both from the image's top left pixel's centre; dx and dy from the image's centre:
//   x = xx·dx + (xy·dy + x0), y = yx·dx + (yy·dy + y0).
struct AffineMap {
  float xx, xy, x0, yx, yy, y0;
};

// What else an operation may need; the kinds of Operation say which.
struct Displacement {
  float scale;                  // pixels a unit of noise
  const float *rows, *columns;  // B (h×h) and Bᵀ (w×w) of data/gaussian_blur.h
};
struct Shift {
  int down, right;  // y(row, column) = x(row + down, column + right)
};
struct Rectangle {
  int top, left, bottom, right;  // rows [top, bottom), columns [left, right)
  MICA_FUNCTION bool contains(int row, int column) const { return row >= top && row < bottom && column >= left && column < right; }
};
struct Jitter {
  bool has_brightness, has_contrast;
  float brightness, contrast;
};
struct Normalization {
  float mean, std;
};

struct Operation {
  enum class Kind { none, crop, affine, elastic, shift, erase, jitter, flip, normalize };

  Kind kind;
  transforms::Interpolation interpolation;  // of affine and elastic
  float fill;                               // of affine, elastic, shift and erase
  union {
    int crop;  // pixels
    AffineMap affine;
    Displacement elastic;
    Shift shift;
    Rectangle erase;
    Jitter jitter;
    Normalization normalize;
  };
};

// ---- an image's random numbers ----

// Of transform `number` of the chain; the others of an image have other keys. Blocks are counted in 32 bits.
MICA_FUNCTION RandomKey image_key(const RandomKey& key, i64 index, int number) {
  const auto sequence = static_cast<std::uint64_t>(index) * (2 * most_transforms) + static_cast<std::uint64_t>(number);
  return {key.seed, key.stream + sequence * 0x9E3779B97F4A7C15, key.step};  // times an odd number: no two are alike
}

// A key's numbers, one after the other.
class Draws {
 public:
  MICA_FUNCTION explicit Draws(const RandomKey& key) : key_(key) {}

  MICA_FUNCTION std::uint32_t bits() {
    if (used_ % 4 == 0) block_ = philox(key_, used_ / 4);
    return block_[used_++ % 4];
  }
  MICA_FUNCTION double uniform() { return static_cast<double>(to_uniform(bits())); }  // in [0, 1)
  MICA_FUNCTION double from(const transforms::Range& range) { return range.low + (range.high - range.low) * uniform(); }
  MICA_FUNCTION int below(i64 n) { return static_cast<int>(static_cast<std::uint64_t>(bits()) * static_cast<std::uint64_t>(n) >> 32); }

 private:
  RandomKey key_;
  RandomBlock block_ = {};
  std::uint32_t used_ = 0;
};

// Halves to even.
MICA_FUNCTION double rounded(double x) { return (x + 6755399441055744.0) - 6755399441055744.0; }  // 1.5·2⁵²

// ---- operations of given parameters ----

// Clockwise by `degrees`, scaled and sheared, then moved by tx and ty pixels. With a the angle and s the shears, and t = tan s_x,
//   S = [ cos(a − s_y)/cos s_y   −t·cos(a − s_y)/cos s_y − sin a ]
//       [ sin(a − s_y)/cos s_y   −t·sin(a − s_y)/cos s_y + cos a ],
// has determinant 1, and the map back is p ↦ S⁻¹(p − (tx, ty))/scale about the centre. Source: torchvision, functional.affine.
MICA_FUNCTION AffineMap affine_map(i64 h, i64 w, double degrees, double tx, double ty, double scale, double shear_x, double shear_y) {
  const Rotation turn = rotation_by(degrees), rest = rotation_by(degrees - shear_y), x = rotation_by(shear_x), y = rotation_by(shear_y);
  const double tangent = x.sine / x.cosine, a = rest.cosine / y.cosine, c = rest.sine / y.cosine;
  const double b = -a * tangent - turn.sine, d = -c * tangent + turn.cosine;
  const double xx = d / scale, xy = -b / scale, yx = -c / scale, yy = a / scale;
  const double x0 = xx * -tx + xy * -ty + (static_cast<double>(w) - 1) / 2, y0 = yx * -tx + yy * -ty + (static_cast<double>(h) - 1) / 2;
  return {static_cast<float>(xx), static_cast<float>(xy), static_cast<float>(x0), static_cast<float>(yx), static_cast<float>(yy), static_cast<float>(y0)};
}

MICA_FUNCTION Operation affine(const AffineMap& map, transforms::Interpolation interpolation, double fill) {
  Operation operation{Operation::Kind::affine, interpolation, static_cast<float>(fill), {}};
  operation.affine = map;
  return operation;
}

MICA_FUNCTION Operation plain(Operation::Kind kind, double fill = 0) { return {kind, transforms::Interpolation::nearest, static_cast<float>(fill), {}}; }

// ---- operations of drawn parameters ----

MICA_FUNCTION Operation draw(const transforms::CenterCropResize& t, Draws&, i64, i64) {
  Operation operation = plain(Operation::Kind::crop);
  operation.crop = static_cast<int>(t.size);
  return operation;
}

MICA_FUNCTION Operation draw(const transforms::RandomRotation& t, Draws& draws, i64 h, i64 w) {
  return affine(affine_map(h, w, -draws.from(t.degrees), 0, 0, 1, 0, 0), t.interpolation, t.fill);
}

MICA_FUNCTION Operation draw(const transforms::RandomAffine& t, Draws& draws, i64 h, i64 w) {
  const double degrees = draws.from(t.degrees);
  const double tx = rounded(draws.from(t.translate[0] * static_cast<double>(w))), ty = rounded(draws.from(t.translate[1] * static_cast<double>(h)));
  const double scale = draws.from(t.scale), shear_x = draws.from(t.shear_x), shear_y = draws.from(t.shear_y);
  return affine(affine_map(h, w, degrees, tx, ty, scale, shear_x, shear_y), t.interpolation, t.fill);
}

MICA_FUNCTION Operation draw(const transforms::RandomCrop& t, Draws& draws, i64, i64) {
  Operation operation = plain(Operation::Kind::shift, t.fill);
  operation.shift.down = draws.below(2 * t.padding + 1) - static_cast<int>(t.padding);
  operation.shift.right = draws.below(2 * t.padding + 1) - static_cast<int>(t.padding);
  return operation;
}

// Ten tries, as in torchvision, to find a rectangle that is smaller than the image in both directions.
MICA_FUNCTION Operation draw(const transforms::RandomErasing& t, Draws& draws, i64 h, i64 w) {
  Operation operation = plain(Operation::Kind::none, t.value);
  if (!(draws.uniform() < t.p)) return operation;
  const transforms::Range log_ratio(static_cast<double>(math::log(static_cast<float>(t.ratio.low))), static_cast<double>(math::log(static_cast<float>(t.ratio.high))));
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double area = static_cast<double>(h * w) * draws.from(t.scale), ratio = static_cast<double>(math::exp(static_cast<float>(draws.from(log_ratio))));
    const double height = rounded(math::sqrt(area * ratio)), width = rounded(math::sqrt(area / ratio));
    if (!(height < static_cast<double>(h) && width < static_cast<double>(w))) continue;
    operation.kind = Operation::Kind::erase;
    const int top = draws.below(h - static_cast<i64>(height) + 1), left = draws.below(w - static_cast<i64>(width) + 1);
    operation.erase = {top, left, top + static_cast<int>(height), left + static_cast<int>(width)};
    return operation;
  }
  return operation;
}

MICA_FUNCTION Operation draw(const transforms::ColorJitter& t, Draws& draws, i64, i64) {
  const auto factor = [&](double size) { return static_cast<float>(draws.from({size < 1 ? 1 - size : 0, 1 + size})); };
  Operation operation = plain(Operation::Kind::jitter);
  const float brightness = factor(t.brightness), contrast = factor(t.contrast);
  operation.jitter = {t.brightness > 0, t.contrast > 0, brightness, contrast};
  return operation;
}

MICA_FUNCTION Operation draw(const transforms::RandomHorizontalFlip& t, Draws& draws, i64, i64) {
  return plain(draws.uniform() < t.p ? Operation::Kind::flip : Operation::Kind::none);
}

MICA_FUNCTION Operation draw(const transforms::Normalize& t, Draws&, i64, i64) {
  Operation operation = plain(Operation::Kind::normalize);
  operation.normalize = {static_cast<float>(t.mean), static_cast<float>(t.std)};
  return operation;
}

// Of link `number` of the chain on image `index` of the set.
MICA_FUNCTION Operation draw(const Chain& chain, int number, const RandomKey& key, i64 index, i64 h, i64 w) {
  using namespace transforms;
  const Chain::Link& link = chain.links[static_cast<std::size_t>(number)];
  if (link.p < 1 && !(Draws(image_key(key, index, most_transforms + link.decider)).uniform() < link.p)) return plain(Operation::Kind::none);
  Draws draws(image_key(key, index, number));
  if (const auto* elastic = std::get_if<ElasticTransform>(&link.transform)) {  // its noise is drawn pixel by pixel
    Operation operation{Operation::Kind::elastic, elastic->interpolation, static_cast<float>(elastic->fill), {}};
    const float* rows = chain.blurs + link.blur;
    operation.elastic = {static_cast<float>(elastic->alpha / 2), rows, rows + h * h};
    return operation;
  }
  if (const auto* t = std::get_if<CenterCropResize>(&link.transform)) return draw(*t, draws, h, w);
  if (const auto* t = std::get_if<RandomRotation>(&link.transform)) return draw(*t, draws, h, w);
  if (const auto* t = std::get_if<RandomAffine>(&link.transform)) return draw(*t, draws, h, w);
  if (const auto* t = std::get_if<RandomCrop>(&link.transform)) return draw(*t, draws, h, w);
  if (const auto* t = std::get_if<RandomErasing>(&link.transform)) return draw(*t, draws, h, w);
  if (const auto* t = std::get_if<ColorJitter>(&link.transform)) return draw(*t, draws, h, w);
  if (const auto* t = std::get_if<RandomHorizontalFlip>(&link.transform)) return draw(*t, draws, h, w);
  return draw(*std::get_if<Normalize>(&link.transform), draws, h, w);
}

}  // namespace mica::kernels
