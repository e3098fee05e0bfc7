// Dropout and uniform numbers have the same bits on CUDA as on the CPU, whatever the size, and where views begin anywhere.
#ifdef MICA_CUDA
#include "on_cuda.h"

#include <mica/kernels/dropout.h>

using namespace mica;
using namespace mica::test;

namespace {

const kernels::RandomKey key{0x123456789abcdefULL, 0xfedcba9876543210ULL, 77};

template <class T>
void compare_dropout(std::int64_t n, std::int64_t offset, double p, bool in_place) {
  INFO(n << " elements from " << offset << " on, p " << p);
  const Tensor x = noise({n + offset}, "x", dtype_of<T>).slice(offset, offset + n), x_there = on_cuda(noise({n + offset}, "x", dtype_of<T>)).slice(offset, offset + n);
  Tensor y = Tensor::empty({n}, dtype_of<T>), y_there = in_place ? x_there : Tensor::zeros({n + offset}, dtype_of<T>, Device::cuda()).slice(offset, offset + n);
  kernels::dropout<T>(cpu_context(), n, {p, key}, x.data<T>(), y.data<T>());
  kernels::dropout<T>(cuda_context(Device::cuda()), n, {p, key}, x_there.data<T>(), y_there.data<T>());
  CHECK(same_bits(on_cpu(y_there), y));
}

template <class T>
void compare_uniform(std::int64_t n, std::int64_t offset) {
  INFO(n << " elements from " << offset << " on");
  Tensor y = Tensor::empty({n}, dtype_of<T>), whole = Tensor::zeros({offset + n + 3}, dtype_of<T>, Device::cuda());
  kernels::uniform<T>(cpu_context(), n, key, -3, 0.7, y.data<T>());
  kernels::uniform<T>(cuda_context(Device::cuda()), n, key, -3, 0.7, whole.data<T>() + offset);
  const Tensor got = on_cpu(whole);
  CHECK(same_bits(got.slice(offset, offset + n).clone(), y));
  CHECK(largest(got.slice(0, offset).clone()) == 0);
  CHECK(largest(got.slice(offset + n, offset + n + 3).clone()) == 0);
}

}  // namespace

TEST_CASE("dropout and uniform numbers have the CPU's bits on CUDA", "[cuda]") {
  if (no_device()) return;
  for (const std::int64_t n : {0, 1, 2, 3, 4, 5, 7, 8, 1000, 1023, 70001})
    for (const std::int64_t offset : {0, 1, 2, 4}) {
      compare_uniform<float>(n, offset);
      compare_uniform<double>(n, offset);
      for (const double p : {0.0, 0.3, 1.0}) {
        compare_dropout<float>(n, offset, p, p == 0.3);
        compare_dropout<double>(n, offset, p, p == 0.3);
      }
    }
}

TEST_CASE("a large tensor takes more elements than threads on CUDA", "[cuda]") {
  if (no_device()) return;
  compare_dropout<float>(4500001, 0, 0.5, false);
}
#endif
