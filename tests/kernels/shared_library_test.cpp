// Libraries that are loaded when they are needed: those that are not there, and functions that are not in them.
#ifdef MICA_CUDA
#include "../catch.h"
#include "../compare.h"

#include <mica/kernels/cuda/shared_library.h>
#include <mica/kernels/error.h>

using mica::kernels::SharedLibrary;
using mica::test::error_text;

// [cuda]: in builds with CUDA, where it needs no device.
TEST_CASE("a shared library is the first of some files that is there", "[cuda]") {
  const SharedLibrary none{"libmica-has-no-such.so.1", "libmica-has-no-such.so"};
  CHECK(!none.loaded());
  CHECK(none.reason().find("libmica-has-no-such.so.1: cannot open shared object file") == 0);
  CHECK(error_text<mica::CudaError>([&] { none.find("cos"); }) == "cos is not in a library that was loaded; install a newer version of it");

  const SharedLibrary second{"libmica-has-no-such.so.1", "libm.so.6"};
  REQUIRE(second.loaded());
  const auto cosine = reinterpret_cast<double (*)(double)>(second.find("cos"));
  CHECK(cosine(0) == 1);
  CHECK(error_text<mica::CudaError>([&] { second.find("no_such_function"); }) == "no_such_function is not in libm.so.6; install a newer version of it");
}
#endif
