// CUDA's convolutions and matrix products against the CPU's f64, at the edges of every tile. A failure prints its shape.
#ifdef MICA_CUDA
#include "both_backends.h"

#include <mica/core/context.h>
#include <mica/kernels/conv2d.h>
#include <mica/kernels/matmul.h>

#include <fmt/format.h>

using namespace mica;
using namespace mica::test;
using kernels::Conv2dDims;
using kernels::MatmulDims;
using i64 = std::int64_t;

namespace {

// One element more than asked for: a kernel is then given all but the first, which no pack can be read from.
Tensor random(i64 count, bool integers, const char* name) { return random_values(count + 1, DType::f32, integers, name); }

// On which device, in which type and how aligned a kernel meets its operands.
struct Place {
  DType type;
  Device device;
  i64 skip;  // elements before an operand: 0 aligned, 1 not

  template <class T>
  const T* data(const Tensor& x) const { return x.defined() ? x.data<T>() + skip : nullptr; }
  Tensor bring(const Tensor& x) const { return x.defined() ? x.to(type).to(device) : Tensor(); }
  Tensor make(i64 count) const { return Tensor::zeros({count + 1}, type, device); }
};

struct Convolution {
  i64 n, c, h, w, o;
  std::array<i64, 2> kernel{3, 3}, padding{0, 0}, stride{1, 1}, dilation{1, 1};
  i64 groups = 1;

  Conv2dDims dims() const {
    const auto out = [&](std::size_t k, i64 size) { return kernels::window_output(size, kernel[k], stride[k], padding[k], dilation[k]); };
    return {n, c, h, w, o, kernel[0], kernel[1], out(0, h), out(1, w), stride, padding, dilation, groups};
  }
  std::string text() const {
    return fmt::format("{}×{}×{}×{} to {}, kernel {}×{}, padding {}×{}, stride {}×{}, dilation {}×{}, groups {}", n, c, h, w, o,
                       kernel[0], kernel[1], padding[0], padding[1], stride[0], stride[1], dilation[0], dilation[1], groups);
  }
};

struct Operands {
  Tensor x, w, bias, gy;
};

Operands operands(const Conv2dDims& d, bool integers) {
  return {random(d.n * d.h * d.w * d.c, integers, "x"), random(d.o * d.kh * d.kw * (d.c / d.groups), integers, "w"), random(d.o, integers, "bias"),
          random(d.n * d.oh * d.ow * d.o, integers, "gy")};
}

enum Wanted { all_results, data_only, weight_only };

template <class T, class Context>
std::vector<Tensor> results(Context& context, const Place& at, const Conv2dDims& d, const Operands& given, Wanted wanted) {
  const Tensor x = at.bring(given.x), w = at.bring(given.w), bias = wanted == all_results ? at.bring(given.bias) : Tensor(), gy = at.bring(given.gy);
  Tensor y = at.make(d.n * d.oh * d.ow * d.o), gx = at.make(x.numel() - 1), gw = at.make(w.numel() - 1), gb = at.make(d.o);
  const auto out = [&](Tensor& to, bool needed) { return needed ? to.data<T>() + at.skip : nullptr; };
  kernels::conv2d_forward(context, d, at.data<T>(x), at.data<T>(w), at.data<T>(bias), out(y, true));
  kernels::conv2d_backward(context, d, at.data<T>(x), at.data<T>(gy), at.data<T>(w), out(gx, wanted != weight_only), out(gw, wanted != data_only),
                           out(gb, wanted == all_results));
  return {y, gx, gw, gb};
}

// On the CPU operands begin at the same element as on the device.
std::vector<Tensor> expected(const Conv2dDims& d, const Operands& given, Wanted wanted, i64 skip) {
  return results<double>(cpu_context(), {DType::f64, Device::cpu(), skip}, d, given, wanted);
}

void check(const Convolution& convolution, Wanted wanted, i64 skip) {
  INFO(convolution.text() << (skip ? ", unaligned" : ""));
  const Conv2dDims d = convolution.dims();
  kernels::Cuda& cuda = cuda_context(Device::cuda());
  const char* names[] = {"y", "gx", "gw", "gb"};
  const Operands whole = operands(d, true), broken = operands(d, false);
  const auto want_whole = expected(d, whole, wanted, skip), want = expected(d, broken, wanted, skip);
  const Place narrow{DType::f32, Device::cuda(), skip}, wide{DType::f64, Device::cuda(), skip};
  const auto of_whole = results<float>(cuda, narrow, d, whole, wanted), of_broken = results<float>(cuda, narrow, d, broken, wanted),
             again = results<float>(cuda, narrow, d, broken, wanted), of_wide = results<double>(cuda, wide, d, broken, wanted);
  for (std::size_t i = 0; i < want.size(); ++i) {
    INFO(names[i]);
    CHECK(difference(of_whole[i], want_whole[i]) == 0);
    CHECK(difference(of_broken[i], want[i]) < 2e-6);
    CHECK(difference(of_wide[i], want[i]) < 1e-13);
    CHECK(same_bits(again[i].to(Device::cpu()), of_broken[i].to(Device::cpu())));
  }
}

struct Product {
  MatmulDims d;
  bool bias = true;
};

template <class T, class Context>
Tensor result(Context& context, const Place& at, const Product& p, const Tensor& a, const Tensor& b, const Tensor& bias) {
  const Tensor to_a = at.bring(a), to_b = at.bring(b), to_bias = p.bias ? at.bring(bias) : Tensor();
  Tensor c = at.make(p.d.batch * p.d.m * p.d.n);
  kernels::matmul(context, p.d, at.data<T>(to_a), at.data<T>(to_b), at.data<T>(to_bias), c.data<T>() + at.skip);
  return c;
}

void check(const Product& p, i64 skip) {
  const MatmulDims& d = p.d;
  INFO(fmt::format("{} times {}×{} · {}×{}{}{}{}", d.batch, d.m, d.k, d.k, d.n, d.transpose_a ? ", a transposed" : "",
                   d.transpose_b ? ", b transposed" : "", skip ? ", unaligned" : ""));
  kernels::Cuda& cuda = cuda_context(Device::cuda());
  const Place narrow{DType::f32, Device::cuda(), skip}, wide{DType::f64, Device::cuda(), skip}, host{DType::f64, Device::cpu(), skip};
  for (const bool integers : {true, false}) {
    const Tensor a = random(d.batch * d.m * d.k, integers, "a"), b = random(d.batch * d.k * d.n, integers, "b"), bias = random(d.n, integers, "bias");
    const Tensor want = result<double>(cpu_context(), host, p, a, b, bias), got = result<float>(cuda, narrow, p, a, b, bias);
    CHECK(difference(got, want) <= (integers ? 0 : 2e-6));
    CHECK(difference(result<double>(cuda, wide, p, a, b, bias), want) < 1e-13);
    CHECK(same_bits(result<float>(cuda, narrow, p, a, b, bias).to(Device::cpu()), got.to(Device::cpu())));
  }
}

}  // namespace

TEST_CASE("3x3 convolutions on CUDA equal the definition at every edge of their tiles", "[cuda]") {
  if (no_device()) return;
  const Convolution cases[] = {
      {1, 16, 3, 3, 20},                        // one pixel
      {5, 16, 10, 38, 16},                      // two blocks along a row
      {2, 16, 21, 5, 28},                       // three down
      {1, 8, 9, 9, 8, {3, 3}, {1, 1}},          // warps with 2 lanes of output channels
      {2, 12, 5, 7, 20, {3, 3}, {2, 2}},
      {1, 20, 4, 6, 24, {3, 3}, {1, 0}},        // two slices of input channels
      {1, 24, 9, 4, 12, {3, 3}, {0, 2}},
      {1, 32, 6, 5, 33},                        // a block more for one output channel
      {1, 33, 4, 4, 32, {3, 3}, {1, 1}},
      {1, 48, 3, 4, 64},
      {1, 64, 4, 3, 48, {3, 3}, {1, 1}},
      {3, 4, 7, 7, 3},
      {2, 3, 6, 6, 4},
      {2, 10, 11, 9, 10, {3, 3}, {1, 1}},
      {1, 2, 1, 1, 3, {3, 3}, {1, 1}},
      {1, 5, 2, 40, 9, {3, 3}, {2, 0}},
      {300, 4, 3, 3, 4},                        // blocks that sum over several tiles
  };
  for (const Convolution& c : cases) check(c, all_results, 0);
  check({2, 8, 5, 6, 12}, all_results, 1);
  check({2, 8, 5, 6, 12}, data_only, 0);
  check({2, 8, 5, 6, 12}, weight_only, 0);
}

TEST_CASE("convolutions of one channel on CUDA equal the definition", "[cuda]") {
  if (no_device()) return;
  const Convolution cases[] = {
      {1, 1, 3, 3, 1},
      {5, 1, 19, 7, 16},                        // two blocks down
      {1, 1, 5, 37, 10, {3, 3}, {1, 1}},        // two along a row
      {2, 1, 6, 6, 64, {3, 3}, {2, 2}},
      {1, 1, 9, 8, 8, {5, 5}},
      {2, 1, 4, 5, 12, {5, 5}, {2, 4}},
      {1, 1, 7, 7, 16, {7, 7}},
      {2, 1, 8, 35, 33, {7, 7}, {3, 6}},
      {1, 1, 6, 6, 65, {3, 3}},
      {1, 1, 6, 6, 3, {3, 3}, {3, 3}},
  };
  for (const Convolution& c : cases) check(c, all_results, 0);
  check({2, 1, 6, 7, 16}, all_results, 1);
  check({2, 1, 6, 7, 16}, weight_only, 0);
}

TEST_CASE("any convolution on CUDA equals the definition", "[cuda]") {
  if (no_device()) return;
  const Convolution cases[] = {
      {5, 16, 4, 4, 32, {1, 1}},                // 1×1
      {1, 33, 5, 7, 10, {1, 1}},
      {3, 32, 20, 20, 16, {1, 1}},              // its filters' gradient in chunks
      {2, 70, 3, 3, 65, {1, 1}},
      {2, 8, 6, 5, 12, {1, 1}, {0, 0}, {1, 1}, {1, 1}, 4},
      {2, 6, 5, 5, 8, {1, 1}, {1, 0}, {2, 3}},
      {2, 8, 7, 6, 12, {3, 3}, {1, 1}, {2, 2}},
      {2, 8, 9, 8, 4, {3, 3}, {2, 1}, {1, 1}, {2, 2}},
      {1, 8, 7, 9, 16, {3, 3}, {1, 1}, {2, 1}, {1, 2}, 2},
      {2, 6, 6, 6, 6, {3, 3}, {1, 1}, {1, 1}, {1, 1}, 6},
      {3, 10, 5, 5, 10, {5, 5}},
      {2, 10, 7, 8, 10, {7, 7}},
      {1, 3, 9, 7, 5, {2, 5}, {1, 3}, {3, 2}},
      {4, 16, 12, 12, 40, {5, 5}, {2, 2}},
      {1, 72, 5, 5, 66, {3, 3}, {1, 1}},        // too many channels for the 3×3 kernels
  };
  for (const Convolution& c : cases) check(c, all_results, 0);
  check({2, 16, 4, 4, 8, {1, 1}}, all_results, 1);
  check({2, 8, 7, 6, 12, {3, 3}, {1, 1}, {2, 2}}, all_results, 1);
  check({2, 8, 7, 6, 12, {3, 3}, {1, 1}, {2, 2}}, data_only, 0);
  check({2, 8, 7, 6, 12, {3, 3}, {1, 1}, {2, 2}}, weight_only, 0);
}

// An infinite pixel reaches the gradients of the taps that meet it and no others, also where tiles hang over the image's end.
TEST_CASE("an infinite pixel reaches on CUDA what it reaches in the definition", "[cuda]") {
  if (no_device()) return;
  const Convolution convolution{1, 4, 9, 35, 4};  // to 7×33: tiles of 4×17 and of 8×32
  const Conv2dDims d = convolution.dims();
  for (const i64 pixel : {7 * 35 + 3, 2 * 35 + 33, 8 * 35 + 34, 0}) {
    INFO("pixel " << pixel);
    Operands given = operands(d, true);
    given.x.data<float>()[pixel * d.c + 1] = std::numeric_limits<float>::infinity();
    const auto want = expected(d, given, all_results, 0);
    const auto got = results<float>(cuda_context(Device::cuda()), {DType::f32, Device::cuda(), 0}, d, given, all_results);
    for (std::size_t i = 0; i < want.size(); ++i) CHECK(same_bits(got[i].to(DType::f64).to(Device::cpu()), want[i]));
  }
}

TEST_CASE("padding and dilation close to 2^31 do not overflow on CUDA", "[cuda]") {
  if (no_device()) return;
  const i64 far = kernels::largest_window;
  check({1, 2, 1, 3, 3, {2, 1}, {far / 2 + 1, 0}, {far, 1}, {far, 1}}, all_results, 0);
  check({1, 4, 2, 2, 4, {1, 1}, {far, 0}, {far, 1}}, all_results, 0);
  check({1, 4, 5, 2, 4, {1, 1}, {far, 0}, {(i64{1} << 30) + 1, 1}}, all_results, 0);  // a position that Divider cannot divide
}

TEST_CASE("matrix products on CUDA equal the definition with every tile and layout", "[cuda]") {
  if (no_device()) return;
  for (const bool a : {false, true})
    for (const bool b : {false, true}) {
      check({{1, 1, 1, a, b}}, 0);
      check({{3, 5, 0, a, b}}, 0);
      check({{33, 16, 20, a, b}}, 0);           // 128×16
      check({{140, 7, 33, a, b}, false}, 0);
      check({{131, 28, 17, a, b, 2}}, 0);       // 128×32
      check({{67, 129, 36, a, b}}, 0);          // 64×64
      check({{64, 64, 16, a, b}}, 1);
      check({{12, 36, 500, a, b}}, 0);          // 32×32, in chunks
      check({{10, 32, 1030, a, b, 3}, false}, 1);
      check({{130, 136, 9, a, b, 50}}, 0);      // 128×128
    }
}
#endif
