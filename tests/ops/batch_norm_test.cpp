// Batch norm in f32 is one source compiled for several instruction sets: each must agree with f64's plain loops, and all
// with one another to the bit, whatever the number of channels and threads.
#include "../catch.h"
#include "../compare.h"

#include <mica/core/autograd.h>
#include <mica/core/context.h>
#include <mica/core/ops/batch_norm.h>
#include <mica/core/random.h>
#include <mica/kernels/cpu/vector.h>

using namespace mica;
using namespace mica::test;
using kernels::InstructionSet;

namespace {

// The same whatever seed an earlier test has left: with others a sum may cancel to nothing, and be compared on that scale.
Tensor random(const Shape& shape, DType type, const char* name) {
  Tensor x = Tensor::empty(shape);
  uniform_(x, -1, 1.5, {0, random_key(name).stream, 0});
  return x.to(type);
}

// y, gx, gw and gb.
std::vector<Tensor> run(std::int64_t channels, bool relu, double dropout, DType type) {
  Tensor x = random({5, channels, 9, 11}, type, "x").set_requires_grad();
  Tensor w = random({channels}, type, "w").set_requires_grad(), b = random({channels}, type, "b").set_requires_grad();
  BatchNormOptions options{.training = true, .relu = relu};
  options.dropout = {dropout, {0, 1, 2}};
  Tensor y = batch_norm(x, w, b, Tensor::zeros({channels}, type), Tensor::ones({channels}, type), options);
  y.backward(random(y.shape(), type, "gy"));
  return {y.detach(), x.grad(), w.grad(), b.grad()};
}

}  // namespace

TEST_CASE("batch norm gives the same bits with every instruction set and thread count, and agrees with f64") {
  const int threads = num_threads();
  for (const std::int64_t channels : {1, 6, 16, 33, 48})
    for (const int kind : {0, 1, 2}) {
      const auto results = [&](DType type) { return run(channels, kind > 0, kind > 1 ? 0.25 : 0, type); };
      INFO(channels << " channels" << (kind > 0 ? ", relu" : "") << (kind > 1 ? ", dropout" : ""));
      const std::vector<Tensor> exact = results(DType::f64);
      kernels::limit_instruction_set(InstructionSet::portable);
      const std::vector<Tensor> portable = results(DType::f32);
      for (std::size_t i = 0; i < exact.size(); ++i) CHECK(difference(portable[i], exact[i]) < 3e-6);
      for (const auto set : {InstructionSet::avx2, InstructionSet::avx512})
        for (const int count : {1, 3}) {
          kernels::limit_instruction_set(set);
          set_num_threads(count);
          const std::vector<Tensor> got = results(DType::f32);
          for (std::size_t i = 0; i < exact.size(); ++i) CHECK(same_bits(got[i], portable[i]));
          set_num_threads(threads);
        }
    }
  kernels::limit_instruction_set(InstructionSet::avx512);
}
