#include "../catch.h"

#include <mica/kernels/image_transform.h>

#include <algorithm>
#include <cmath>
#include <numbers>

using namespace mica::kernels;

namespace {

// How many units in the last place of `want` lie between both.
double ulps(double have, long double want) {
  const double near = static_cast<double>(want);
  const double unit = std::nextafter(std::abs(near), 2.0) - std::abs(near);
  return static_cast<double>(std::abs(static_cast<long double>(have) - want)) / unit;
}

// Of an angle that is reduced exactly first, in the 64 bits of long double.
struct Exact {
  long double cosine, sine;
  explicit Exact(double degrees) {
    int quadrant = 0;
    const long double x = remquol(degrees, 90, &quadrant) * std::numbers::pi_v<long double> / 180;
    const long double c = std::cos(x), s = std::sin(x);
    switch (quadrant & 3) {
      case 0: cosine = c, sine = s; break;
      case 1: cosine = -s, sine = c; break;
      case 2: cosine = -c, sine = -s; break;
      default: cosine = s, sine = -c;
    }
  }
};

}  // namespace

TEST_CASE("sine and cosine up to 45 degrees: within one unit in the last place") {
  double of_sine = 0, of_cosine = 0;
  for (int i = -100'000; i <= 100'000; ++i) {
    const double x = i * (std::numbers::pi / 400'000);
    if (i != 0) of_sine = std::max(of_sine, ulps(sine_near_zero(x), std::sin(static_cast<long double>(x))));
    of_cosine = std::max(of_cosine, ulps(cosine_near_zero(x), std::cos(static_cast<long double>(x))));
  }
  CHECK(of_sine < 1);
  CHECK(of_cosine < 1);
}

TEST_CASE("sine and cosine of degrees: within 2 units in the last place") {
  double most = 0;
  const auto check = [&](double degrees) {
    const Rotation have = rotation_by(degrees);
    const Exact want(degrees);
    most = std::max({most, ulps(have.cosine, want.cosine), ulps(have.sine, want.sine)});
  };
  for (int i = -360'000; i <= 360'000; ++i) check(i * 0.001 + i * 1e-9);
  for (int k = -8; k <= 8; ++k)
    for (double near = 1e-12; near < 45; near *= 1.7) check(k * 45 + near), check(k * 45 - near);
  INFO(most);
  CHECK(most < 2);
  CHECK(most > 0.5);  // or it measures nothing
}

TEST_CASE("sine and cosine are exact at multiples of 90 degrees, and odd and even") {
  for (int k = -40; k <= 40; ++k) {
    const Rotation r = rotation_by(90.0 * k);
    const int quadrant = ((k % 4) + 4) % 4;
    CHECK(r.cosine == (quadrant == 0 ? 1 : quadrant == 2 ? -1 : 0));
    CHECK(r.sine == (quadrant == 1 ? 1 : quadrant == 3 ? -1 : 0));
  }
  for (const double degrees : {0.1, 44.9, 45.0, 45.1, 123.4, 200.0, 359.0}) {
    CHECK(rotation_by(-degrees).cosine == rotation_by(degrees).cosine);
    CHECK(rotation_by(-degrees).sine == -rotation_by(degrees).sine);
  }
}

TEST_CASE("half of what a crop cuts off is rounded to even") {
  for (int size = 1; size < 40; ++size)
    for (int crop = 1; crop <= size; ++crop)
      CHECK(Cropped<Bytes>{{size, nullptr}, size, size, crop}.margin(size) == std::lrint(static_cast<double>(size - crop) / 2));
}
