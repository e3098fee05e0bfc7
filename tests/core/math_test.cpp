// The f32 functions of kernels/math.h against the C library's in f64, in units of the last place, over all of f32.
#include "../catch.h"

#include <mica/kernels/math.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>

using namespace mica::kernels;

namespace {

// |got − want| in units of f32's last place at want; the same special value is 0, another one is far.
double units(float got, double want) {
  const float rounded = static_cast<float>(want);
  if (std::isnan(want)) return std::isnan(got) ? 0 : 1e9;
  if (std::isinf(rounded) || std::isinf(got) || std::isnan(got)) return got == rounded ? 0 : 1e9;
  const int exponent = std::max(rounded == 0 ? -126 : std::ilogb(rounded), -126);
  return std::abs(static_cast<double>(got) - want) / std::ldexp(1.0, exponent - 23);
}

// The largest error over every `step`-th bit pattern: all signs and sizes, denormals, infinities and NaN.
double largest_error(std::uint64_t step, const std::function<float(float)>& f, const std::function<double(double)>& g, double (*error)(float, double) = units) {
  double most = 0;
  for (std::uint64_t bits = 0; bits < (1ULL << 32); bits += step) {
    const float x = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    most = std::max(most, error(f(x), g(static_cast<double>(x))));
  }
  return most;
}

}  // namespace

TEST_CASE("exp, log, tanh and pow of f32 are right to a unit in the last place or two") {
  constexpr std::uint64_t step = 8191;
  CHECK(largest_error(step, [](float x) { return math::exp(x); }, [](double x) { return std::exp(x); }) < 1);
  CHECK(largest_error(step, [](float x) { return math::log(x); }, [](double x) { return std::log(x); }) < 1);
  CHECK(largest_error(step, [](float x) { return math::tanh(x); }, [](double x) { return std::tanh(x); }) < 1.5);
  const float infinity = math::infinity;
  for (const float y : {2.0F, 0.5F, -1.0F, 3.0F, 1.7F, -2.3F, 0.0F, 37.0F, -1e-3F, 1e20F, -1e20F, infinity, -infinity, math::not_a_number, 16777217.0F, 8388609.0F, 8388607.0F,
                        4194303.5F, -3.0F, 1e-38F}) {
    INFO("pow(x, " << y << ")");
    CHECK(largest_error(64 * step, [=](float x) { return math::pow(x, y); }, [=](double x) { return std::pow(x, static_cast<double>(y)); }) < 0.6);
  }
}

TEST_CASE("erf of f32 is right to 5e-7") {
  const auto absolute = [](float got, double want) { return std::isnan(want) && std::isnan(got) ? 0 : std::abs(static_cast<double>(got) - want); };
  CHECK(largest_error(8191, [](float x) { return math::erf(x); }, [](double x) { return std::erf(x); }, absolute) < 5e-7);
}
