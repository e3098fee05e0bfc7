// Sine and cosine of an angle in degrees, of operations that every processor rounds alike.
#pragma once

#include <mica/kernels/dims.h>
#include <mica/kernels/math.h>

namespace mica::kernels {

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

}  // namespace mica::kernels
