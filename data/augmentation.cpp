#include <mica/core/error.h>
#include <mica/data/augmentation.h>
#include <mica/data/gaussian_blur.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mica {
namespace {

using namespace transforms;

// ---- text ----

std::string text(const Range& range) { return range.low == -range.high ? fmt::format("{:g}", range.high) : fmt::format("{:g} to {:g}", range.low, range.high); }

std::string joined(const std::vector<std::string>& parts, const char* between) {
  std::string all;
  for (const std::string& part : parts) all += (all.empty() ? "" : between) + part;
  return all;
}

struct Text {
  std::string operator()(const CenterCropResize& t) const { return fmt::format("crop {}", t.size); }
  std::string operator()(const RandomRotation& t) const { return fmt::format("rotation {}", text(t.degrees)) + sampled(t, Interpolation::nearest); }
  std::string operator()(const RandomAffine& t) const {
    std::vector<std::string> parts;
    if (!t.degrees.is(0)) parts.push_back("rotation " + text(t.degrees));
    if (t.translate[0] == t.translate[1] && t.translate[0] != 0) parts.push_back(fmt::format("translation {:g}", t.translate[0]));
    if (t.translate[0] != t.translate[1]) parts.push_back(fmt::format("translation {:g} {:g}", t.translate[0], t.translate[1]));
    if (!t.scale.is(1)) parts.push_back("scale " + text(t.scale));
    if (!t.shear_x.is(0)) parts.push_back("shear " + text(t.shear_x));
    if (!t.shear_y.is(0)) parts.push_back("vertical shear " + text(t.shear_y));
    return (parts.empty() ? "affine" : joined(parts, " ")) + sampled(t, Interpolation::nearest);
  }
  std::string operator()(const ElasticTransform& t) const {
    return fmt::format("elastic {:g} sigma {:g}", t.alpha, t.sigma) + sampled(t, Interpolation::bilinear);
  }
  std::string operator()(const RandomCrop& t) const { return fmt::format("padding {}", t.padding) + filled(t.fill); }
  std::string operator()(const RandomErasing& t) const { return fmt::format("erasing {} ratio {} p={:g}", text(t.scale), text(t.ratio), t.p) + filled(t.value); }
  std::string operator()(const ColorJitter& t) const { return fmt::format("brightness {:g} contrast {:g}", t.brightness, t.contrast); }
  std::string operator()(const RandomHorizontalFlip& t) const { return fmt::format("flip p={:g}", t.p); }
  std::string operator()(const Normalize& t) const { return fmt::format("normalize {:g} {:g}", t.mean, t.std); }
  std::string operator()(const Transform& t) const { return std::visit(*this, t); }
  std::string operator()(const RandomApply& t) const {
    std::vector<std::string> parts;
    for (const Transform& transform : t.transforms) parts.push_back((*this)(transform));
    const std::string list = joined(parts, ", ");
    return fmt::format("{} p={:g}", parts.size() == 1 ? list : "(" + list + ")", t.p);
  }

 private:
  static std::string filled(double fill) { return fill == 0 ? "" : fmt::format(" fill {:g}", fill); }
  template <class T> static std::string sampled(const T& t, Interpolation usual) {
    return (t.interpolation == usual ? "" : t.interpolation == Interpolation::nearest ? " nearest" : " bilinear") + filled(t.fill);
  }
};

// ---- checks ----

struct Check {
  std::int64_t h, w;
  std::string where;

  void operator()(const CenterCropResize& t) const {
    const std::int64_t largest = std::min(h, w);
    require("CenterCropResize", t.size >= 1 && t.size <= largest, fmt::format("a size of 1 to {} pixels", largest), t.size);
  }
  void operator()(const RandomRotation& t) const {
    within("RandomRotation", "degrees", t.degrees, -360, 360);
    within("RandomRotation", "fill", t.fill, -most, most);
  }
  void operator()(const RandomAffine& t) const {
    constexpr const char* name = "RandomAffine";
    within(name, "degrees", t.degrees, -360, 360);
    for (const double part : t.translate) require(name, part >= 0 && part <= 1, "translations from 0 to 1", part);
    within(name, "scale", t.scale, 1e-3, 1e3);
    within(name, "shear_x", t.shear_x, -89, 89);
    within(name, "shear_y", t.shear_y, -89, 89);
    within(name, "fill", t.fill, -most, most);
  }
  void operator()(const ElasticTransform& t) const {
    constexpr const char* name = "ElasticTransform";
    within(name, "alpha", t.alpha, 0, most);
    within(name, "sigma", t.sigma, 0, most);
    within(name, "fill", t.fill, -most, most);
    const std::int64_t smallest = gaussian_blur_size(t.sigma) / 2 + 1;
    require(name, std::min(h, w) >= smallest, fmt::format("images of {0}×{0} or more, about which a blur of sigma {1:g} is mirrored", smallest, t.sigma),
            fmt::format("{}×{}", h, w));
  }
  void operator()(const RandomCrop& t) const {
    require("RandomCrop", t.padding >= 0 && t.padding <= most_pixels, fmt::format("a padding of 0 to {} pixels", most_pixels), t.padding);
    within("RandomCrop", "fill", t.fill, -most, most);
  }
  void operator()(const RandomErasing& t) const {
    constexpr const char* name = "RandomErasing";
    probability(name, t.p);
    within(name, "scale", t.scale, 0, 1);
    within(name, "ratio", t.ratio, 1e-3, 1e3);
    within(name, "value", t.value, -most, most);
  }
  void operator()(const ColorJitter& t) const {
    within("ColorJitter", "brightness", t.brightness, 0, most);
    within("ColorJitter", "contrast", t.contrast, 0, most);
  }
  void operator()(const RandomHorizontalFlip& t) const { probability("RandomHorizontalFlip", t.p); }
  void operator()(const Normalize& t) const {
    within("Normalize", "mean", t.mean, -most, most);
    require("Normalize", std::abs(t.std) >= 1 / most && std::abs(t.std) <= most, "a standard deviation that is not 0", t.std);
  }
  void operator()(const RandomApply& t) const {
    probability("RandomApply", t.p);
    require("RandomApply", !t.transforms.empty(), "a transform or more", "none");
  }
  template <class T> void require(const char* name, bool right, const std::string& expected, const T& got) const {
    if (!right) throw Error(fmt::format("{}: {}: expected {}, got {}", where, name, expected, got));
  }

  static constexpr std::int64_t most_pixels = 32767;  // of a side: a position is exact in f32, and an image's pixels are counted in 32 bits

 private:
  static constexpr double most = 1e9;

  void within(const char* name, const char* parameter, const Range& range, double low, double high) const {
    require(name, range.low >= low && range.low <= range.high && range.high <= high, fmt::format("a range of {} within {:g} to {:g}", parameter, low, high),
            fmt::format("{:g} to {:g}{}", range.low, range.high, range.low > range.high ? "; the first must not be larger" : ""));
  }
  void within(const char* name, const char* parameter, double value, double low, double high) const {
    require(name, value >= low && value <= high, fmt::format("{} from {:g} to {:g}", parameter, low, high), fmt::format("{:g}", value));
  }
  void probability(const char* name, double p) const { require(name, p >= 0 && p <= 1, "a probability p from 0 to 1", p); }
};

// ---- the chain ----

struct Builder {
  const Check& check;
  CompiledAugmentation result = {};
  int links = 0;  // with those for which there is no room
  bool normalizes = false;

  void add(const Transform& transform, double p, int decider) {
    std::visit(check, transform);
    normalizes |= std::holds_alternative<Normalize>(transform);
    if (links++ >= kernels::most_transforms) return;
    result.chain.links[static_cast<std::size_t>(result.chain.count++)] = {transform, p, decider, static_cast<std::int64_t>(result.blurs.size())};
    if (const auto* elastic = std::get_if<ElasticTransform>(&transform)) add_blur(elastic->sigma);
  }

 private:
  void add_blur(double sigma) {
    std::vector<float>& blurs = result.blurs;
    const std::vector<float> rows = gaussian_blur_matrix(check.h, sigma), columns = gaussian_blur_matrix(check.w, sigma);
    blurs.insert(blurs.end(), rows.begin(), rows.end());
    const auto w = static_cast<std::size_t>(check.w);
    for (std::size_t i = 0; i < w * w; ++i) blurs.push_back(columns[i % w * w + i / w]);
  }
};

}  // namespace

std::string to_string(const Augmentation& augmentation) {
  std::vector<std::string> parts;
  for (const Augmentation::Step& step : augmentation.steps()) parts.push_back(std::visit(Text(), step));
  return parts.empty() ? "none" : joined(parts, ", ");
}

CompiledAugmentation compile(const Augmentation& augmentation, std::int64_t h, std::int64_t w, const Normalize& last, const std::string& where) {
  const Check check{h, w, where};
  if (std::max(h, w) > Check::most_pixels)
    throw Error(fmt::format("{}: expected images of at most {} pixels a side, got {}×{}", where, Check::most_pixels, h, w));
  Builder builder{check};
  for (const Augmentation::Step& step : augmentation.steps()) {
    if (const auto* transform = std::get_if<Transform>(&step)) {
      builder.add(*transform, 1, builder.links);
      continue;
    }
    const auto& apply = std::get<RandomApply>(step);
    check(apply);
    const int decider = builder.links;
    for (const Transform& transform : apply.transforms) builder.add(transform, apply.p, decider);
  }
  if (!builder.normalizes) builder.add(last, 1, builder.links);
  if (builder.links > kernels::most_transforms)
    throw Error(fmt::format("{}: expected at most {} transforms, Normalize included, got {}", where, kernels::most_transforms, builder.links));
  return std::move(builder.result);
}

}  // namespace mica
