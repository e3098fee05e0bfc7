// Our own convolutions, Winograd's and the direct one, against the definition and oneDNN. On small integers all are exact,
// and must agree to the bit with every instruction set and thread count.
#include "../catch.h"
#include "../compare.h"

#include <mica/core/autograd.h>
#include <mica/core/context.h>
#include <mica/core/ops/conv2d.h>
#include <mica/core/random.h>
#include <mica/core/settings.h>
#include <mica/kernels/cpu/conv2d_direct.h>
#include <mica/kernels/cpu/conv2d_winograd.h>
#include <mica/kernels/cpu/vector.h>

using namespace mica;
using namespace mica::test;
using kernels::InstructionSet;

namespace {

struct Case {
  std::int64_t n, c, h, w, o;
  std::array<std::int64_t, 2> padding;
  bool bias = true;
  std::int64_t kernel = 3;
  bool need_gx = true;
};

const Case cases[] = {
    {1, 16, 4, 4, 16, {0, 0}},          {3, 16, 9, 12, 32, {0, 0}},   {2, 32, 7, 5, 16, {1, 1}, false}, {40, 16, 6, 6, 16, {0, 0}},
    {2, 48, 3, 3, 16, {0, 0}},          {1, 16, 1, 1, 16, {1, 1}},    {2, 16, 5, 8, 48, {2, 1}},        {1, 16, 6, 5, 16, {4, 3}, false},
    {17, 64, 10, 10, 32, {1, 0}},
    // direct: 1×1, and 3×3 from one channel
    {3, 16, 5, 7, 16, {0, 0}, true, 1},  {2, 48, 9, 1, 32, {0, 0}, false, 1},  {20, 32, 6, 5, 16, {0, 0}, true, 1},
    {3, 1, 9, 12, 16, {0, 0}, true, 3, false}, {19, 1, 3, 4, 48, {0, 0}, false, 3, false},
};

kernels::Conv2dDims dims(const Case& k) {
  const std::int64_t oh = k.h + 2 * k.padding[0] - k.kernel + 1, ow = k.w + 2 * k.padding[1] - k.kernel + 1;
  return {k.n, k.c, k.h, k.w, k.o, k.kernel, k.kernel, oh, ow, {1, 1}, k.padding, {1, 1}, 1};
}

Tensor random(const Shape& shape, DType type, bool integers, const char* name) {
  Tensor x = Tensor::empty(shape);
  uniform_(x, -3.5, 3.5, random_key(name));
  if (integers) {
    float* values = x.data<float>();
    for (std::int64_t i = 0; i < x.numel(); ++i) values[i] = std::round(values[i]);
  }
  return x.to(type);
}

// y, gw, gx and gb.
std::vector<Tensor> run(const Case& k, DType type, bool integers) {
  Tensor x = random({k.n, k.c, k.h, k.w}, type, integers, "x").set_requires_grad(k.need_gx);
  Tensor w = random({k.o, k.c, k.kernel, k.kernel}, type, integers, "w").set_requires_grad();
  Tensor b = k.bias ? random({k.o}, type, integers, "b").set_requires_grad() : Tensor();
  const Tensor y = conv2d(x, w, b, {.padding = k.padding});
  y.backward(random(y.shape(), type, integers, "gy"));
  std::vector<Tensor> results{y.detach(), w.grad()};
  if (k.need_gx) results.push_back(x.grad());
  if (k.bias) results.push_back(b.grad());
  return results;
}

struct Restore {
  int threads = num_threads();
  ~Restore() {
    set_num_threads(threads);
    set_policy(Policy::automatic);
    kernels::limit_instruction_set(InstructionSet::avx512);
  }
};

}  // namespace

TEST_CASE("our convolutions of integers equal the definition and oneDNN to the bit") {
  const Restore restore;
  for (const Case& k : cases) {
    INFO(k.n << "x" << k.c << "x" << k.h << "x" << k.w << " to " << k.o << ", kernel " << k.kernel << ", padding " << k.padding[0] << "x" << k.padding[1]);
    const std::vector<Tensor> exact = run(k, DType::f64, true);
    set_policy(Policy::library);
    const std::vector<Tensor> library = run(k, DType::f32, true);
    set_policy(Policy::native);
    REQUIRE((kernels::winograd::applies(dims(k)) || kernels::direct::applies(dims(k))));
    for (const auto set : {InstructionSet::portable, InstructionSet::avx2, InstructionSet::avx512})
      for (const int threads : {1, 3}) {
        kernels::limit_instruction_set(set);
        set_num_threads(threads);
        const std::vector<Tensor> got = run(k, DType::f32, true);
        for (std::size_t i = 0; i < exact.size(); ++i) {
          CHECK(same_bits(got[i], library[i]));
          CHECK(difference(got[i], exact[i]) == 0);
        }
      }
  }
}

TEST_CASE("our convolutions are exact, and the same with any number of threads") {
  const Restore restore;
  for (const Case& k : cases) {
    INFO(k.n << "x" << k.c << "x" << k.h << "x" << k.w << " to " << k.o << ", kernel " << k.kernel << ", padding " << k.padding[0] << "x" << k.padding[1]);
    const std::vector<Tensor> exact = run(k, DType::f64, false);
    set_policy(Policy::native);
    set_num_threads(1);
    const std::vector<Tensor> one = run(k, DType::f32, false);
    for (std::size_t i = 0; i < exact.size(); ++i) CHECK(difference(one[i], exact[i]) < 2e-6);
    for (const int threads : {2, 5}) {
      set_num_threads(threads);
      const std::vector<Tensor> many = run(k, DType::f32, false);
      for (std::size_t i = 0; i < exact.size(); ++i) CHECK(same_bits(many[i], one[i]));
    }
  }
}

#ifdef MICA_ONEDNN
TEST_CASE("the policy chooses between Winograd's convolution and oneDNN's") {
  const Restore restore;
  const auto run_with = [](Policy policy, const Case& k) {
    set_policy(policy);
    return run(k, DType::f32, false)[0];
  };
  const Case hot{8, 16, 18, 18, 16, {0, 0}}, small{1, 16, 4, 4, 16, {0, 0}};
  CHECK_FALSE(same_bits(run_with(Policy::native, hot), run_with(Policy::library, hot)));  // they round differently
  if (kernels::instruction_set() != InstructionSet::portable) CHECK(same_bits(run_with(Policy::automatic, hot), run_with(Policy::native, hot)));
  CHECK(same_bits(run_with(Policy::automatic, small), run_with(Policy::library, small)));
}
#endif

TEST_CASE("our convolutions are left alone where they do not apply") {
  const auto without = [](auto change) {
    for (const Case& k : {cases[0], Case{3, 16, 5, 7, 16, {0, 0}, true, 1}}) {
      kernels::Conv2dDims d = dims(k);
      REQUIRE((kernels::winograd::applies(d) || kernels::direct::applies(d)));
      change(d);
      if (kernels::winograd::applies(d) || kernels::direct::applies(d)) return false;
    }
    return true;
  };
  CHECK(without([](auto& x) { x.kh = 5; }));
  CHECK(without([](auto& x) { x.kw = 2; }));
  CHECK(without([](auto& x) { x.stride[1] = 2; }));
  CHECK(without([](auto& x) { x.dilation[0] = 2; }));
  CHECK(without([](auto& x) { x.groups = 2; }));
  CHECK(without([](auto& x) { x.c = 8; }));
  CHECK(without([](auto& x) { x.o = 24; }));
}
