#include <mica/core/context.h>
#include <mica/core/random.h>
#include <mica/data/drawn_digits.h>
#include <mica/kernels/cpu/parallel.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace mica {
namespace {

struct Point {
  float x, y;
};
using Stroke = std::vector<Point>;  // joined points
using Glyph = std::vector<Stroke>;  // in a box from −1 to 1, y downward

// Part of an ellipse, from angle `from` to `to` in degrees, clockwise from the right.
Stroke arc(Point center, Point radius, float from, float to) {
  Stroke stroke;
  constexpr int pieces = 10;
  for (int i = 0; i <= pieces; ++i) {
    const float angle = (from + (to - from) * static_cast<float>(i) / pieces) * std::numbers::pi_v<float> / 180;
    stroke.push_back({center.x + radius.x * std::cos(angle), center.y + radius.y * std::sin(angle)});
  }
  return stroke;
}

const std::array<Glyph, 10>& glyphs() {
  static const std::array<Glyph, 10> all{
      Glyph{arc({0, 0}, {.6F, 1}, 0, 360)},
      Glyph{{{-.3F, -.6F}, {.1F, -1}, {.1F, 1}}},
      Glyph{arc({0, -.45F}, {.6F, .55F}, 180, 380), {{.52F, -.25F}, {-.6F, 1}, {.65F, 1}}},
      Glyph{arc({-.05F, -.5F}, {.55F, .5F}, 200, 450), arc({-.05F, .5F}, {.65F, .5F}, 270, 520)},
      Glyph{{{.3F, 1}, {.3F, -1}, {-.65F, .35F}, {.7F, .35F}}},
      Glyph{{{.55F, -1}, {-.45F, -1}, {-.5F, -.1F}}, arc({-.05F, .4F}, {.6F, .6F}, 225, 510)},
      Glyph{{{.35F, -1}, {-.25F, -.45F}, {-.55F, .35F}}, arc({0, .45F}, {.55F, .55F}, 0, 360)},
      Glyph{{{-.6F, -1}, {.6F, -1}, {-.1F, 1}}},
      Glyph{arc({0, -.5F}, {.5F, .5F}, 0, 360), arc({0, .5F}, {.6F, .5F}, 0, 360)},
      Glyph{arc({0, -.45F}, {.55F, .55F}, 0, 360), {{.55F, -.45F}, {.45F, .3F}, {.2F, 1}}}};
  return all;
}

float distance_to_segment(Point p, Point a, Point b) {
  const float dx = b.x - a.x, dy = b.y - a.y;
  const float t = std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / (dx * dx + dy * dy + 1e-9F), 0.0F, 1.0F);
  return std::hypot(p.x - a.x - t * dx, p.y - a.y - t * dy);
}

constexpr int side = 28;

// One image: every pixel's brightness falls off with its distance to the nearest stroke.
void draw_one(const Glyph& glyph, const RandomKey& key, std::uint32_t index, std::uint8_t* image) {
  std::uint32_t next = 0;
  const auto between = [&](float low, float high) {
    const kernels::RandomKey own{key.seed, key.stream, index};
    return low + (high - low) * kernels::to_uniform(kernels::random_bits(own, next++));
  };
  const float angle = between(-.25F, .25F), shear = between(-.35F, .35F), size = between(7.5F, 9.8F), wide = between(.75F, 1.15F);
  const float cx = 13.5F + between(-1.8F, 1.8F), cy = 13.5F + between(-1.8F, 1.8F);
  const float radius = between(.8F, 1.7F), ink = between(190, 255), wobble = between(0, .12F);
  const float cosine = std::cos(angle), sine = std::sin(angle);
  std::array<float, side * side> nearest;
  nearest.fill(1e9F);
  for (const Stroke& stroke : glyph) {
    Stroke placed;
    for (const Point p : stroke) {
      const float x = (p.x + shear * p.y + between(-wobble, wobble)) * wide * size, y = (p.y + between(-wobble, wobble)) * size;
      placed.push_back({cx + cosine * x - sine * y, cy + sine * x + cosine * y});
    }
    for (std::size_t i = 0; i + 1 < placed.size(); ++i) {
      const auto [left, right] = std::minmax(placed[i].x, placed[i + 1].x);
      const auto [top, bottom] = std::minmax(placed[i].y, placed[i + 1].y);
      const float reach = radius + 1;
      for (int y = std::max(0, static_cast<int>(top - reach)); y <= std::min(side - 1, static_cast<int>(bottom + reach + 1)); ++y)
        for (int x = std::max(0, static_cast<int>(left - reach)); x <= std::min(side - 1, static_cast<int>(right + reach + 1)); ++x) {
          float& d = nearest[static_cast<std::size_t>(y * side + x)];
          d = std::min(d, distance_to_segment({static_cast<float>(x), static_cast<float>(y)}, placed[i], placed[i + 1]));
        }
    }
  }
  for (std::size_t i = 0; i < nearest.size(); ++i)
    image[i] = static_cast<std::uint8_t>(ink * std::clamp(radius + .5F - nearest[i], 0.0F, 1.0F));
}

}  // namespace

ImageSet draw_digits(std::int64_t count, const std::string& name) {
  ImageSet set{Tensor::empty({count, side, side}, DType::u8), Tensor::empty({count}, DType::u8)};
  std::uint8_t *images = set.images.data<std::uint8_t>(), *labels = set.labels.data<std::uint8_t>();
  RandomKey key = random_key("drawn digits " + name);
  key.seed = 0;  // the same digits whatever the run's seed
  kernels::parallel_for(cpu_context(), count, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      labels[i] = static_cast<std::uint8_t>(i % 10);
      draw_one(glyphs()[static_cast<std::size_t>(i % 10)], key, static_cast<std::uint32_t>(i), images + i * side * side);
    }
  });
  return set;
}

}  // namespace mica
