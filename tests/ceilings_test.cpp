#include "catch.h"

#include "../examples/ceilings/ceilings.h"

using namespace mica::bench;

TEST_CASE("work takes the longer of its bytes and its products, by tensor cores where they are the faster way") {
  const std::string copy = "copy", fma = "FMA", tf32 = "TF32", third = "TF32/3";
  const Ceilings fast{1e9, 60e9, 480e9, 0};  // a second for 1 GB, 60 GFLOP, 480 GFLOP in TF32, 160 by three products each
  CHECK(fast.floor(2e9, 60e9, Products::f32) == 2);
  CHECK(fast.floor(1e9, 120e9, Products::f32) == 2);
  CHECK(fast.floor(1e9, 960e9, Products::tf32) == 2);
  CHECK(fast.floor(1e9, 320e9, Products::three_tf32) == 2);
  CHECK(fast.binding(2e9, 120e9, Products::f32) == copy);
  CHECK(fast.binding(1e9, 120e9, Products::f32) == fma);
  CHECK(fast.binding(1e9, 120e9, Products::tf32) == copy);
  CHECK(fast.binding(1e9, 960e9, Products::tf32) == tf32);
  CHECK(fast.binding(1e9, 320e9, Products::three_tf32) == third);

  const Ceilings slow{1e9, 60e9, 120e9, 0}, none{1e9, 60e9, 0, 0};
  CHECK(slow.binding(1e9, 240e9, Products::tf32) == tf32);
  CHECK(slow.floor(1e9, 120e9, Products::three_tf32) == 2);
  CHECK(slow.binding(1e9, 120e9, Products::three_tf32) == fma);
  CHECK(none.floor(1e9, 120e9, Products::tf32) == 2);
  CHECK(none.binding(1e9, 120e9, Products::tf32) == fma);
}
