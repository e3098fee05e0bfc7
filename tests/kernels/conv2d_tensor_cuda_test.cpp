// Convolutions by tensor cores: against the definition in f64, and, sharper, against the definition on operands rounded as they are.
#ifdef MICA_CUDA
#include "../tensor_cores.h"
#include "both_backends.h"
#include "on_cuda.h"

#include <mica/core/context.h>
#include <mica/kernels/conv2d.h>
#include <mica/kernels/conv2d_chain.h>
#include <mica/kernels/cuda/context.h>

#ifdef MICA_CUDA_EMULATED
#include <emulator/device.h>
#endif

#include <bit>

using namespace mica;
using namespace mica::test;

namespace {

// x of f32's values as products take it: to the nearest of 10 bits, halves away from zero.
Tensor rounded(const Tensor& x) {
  Tensor y = x.to(DType::f64);
  for (double *v = y.data<double>(), *end = v + y.numel(); v < end; ++v)
    *v = std::bit_cast<float>((std::bit_cast<std::uint32_t>(static_cast<float>(*v)) + 0x1000U) & 0xffffe000U);
  return y;
}

// Largest difference over the largest value; NaN is infinite.
double error(const Tensor& got, const Tensor& want) {
  double most = 0, scale = 1e-30;
  const std::vector<double> a = values(got), b = values(want);
  for (std::size_t i = 0; i < b.size(); ++i) {
    scale = std::max(scale, std::abs(b[i]));
    const double difference = std::abs(a[i] - b[i]);
    most = difference <= most ? most : difference == difference ? difference : INFINITY;
  }
  return most / scale;
}

struct Size {
  std::int64_t n, h, w, o, padding;
};

struct Operands {
  Tensor x, w, b, gy;  // memory order
};

// y, gx, gw, gb in the type of the operands.
std::vector<Tensor> convolve(Device device, const kernels::Conv2dDims& d, const Operands& o) {
  return run_kernel(device, {o.x, o.w, o.b, o.gy},
                    {{o.gy.numel(), o.x.dtype()}, {o.x.numel(), o.x.dtype()}, {o.w.numel(), o.x.dtype()}, {d.o, o.x.dtype()}},
                    [&](auto& context, const auto& in, const auto& out) {
                      const auto call = [&](auto t) {
                        using T = decltype(t);
                        kernels::conv2d_forward(context, d, at<T>(in, 0), at<T>(in, 1), at<T>(in, 2), at<T>(out, 0));
                        kernels::conv2d_backward(context, d, at<T>(in, 0), at<T>(in, 3), at<T>(in, 1), at<T>(out, 1), at<T>(out, 2),
                                                 at<T>(out, 3));
                      };
                      o.x.dtype() == DType::f64 ? call(double{}) : call(float{});
                    });
}

// gx and gw of one call, or of one that is asked for one of them only; what is not asked for is undefined.
std::vector<Tensor> gradients(const kernels::Conv2dDims& d, const Operands& o, bool data, bool weight) {
  const Tensor x = o.x.to(Device::cuda()), gy = o.gy.to(Device::cuda()), w = o.w.to(Device::cuda());
  Tensor gx = data ? Tensor::empty({x.numel()}, DType::f32, Device::cuda()) : Tensor(),
         gw = weight ? Tensor::empty({w.numel()}, DType::f32, Device::cuda()) : Tensor(),
         gb = weight ? Tensor::empty({d.o}, DType::f32, Device::cuda()) : Tensor();
  const std::vector<Tensor> all{gx, gw, gb};
  kernels::conv2d_backward(cuda_context(Device::cuda()), d, x.data<float>(), gy.data<float>(), w.data<float>(), at<float>(all, 0),
                           at<float>(all, 1), at<float>(all, 2));
  return all;
}

Operands map(const Operands& o, const std::function<Tensor(const Tensor&)>& f) { return {f(o.x), f(o.w), o.b.to(DType::f64), f(o.gy)}; }

}  // namespace

TEST_CASE("convolutions of 16 channels by tensor cores equal the definition, within the precision that is allowed", "[cuda]") {
  if (no_tensor_cores()) return;
  const Size sizes[] = {{1, 3, 3, 16, 0},   {3, 3, 5, 32, 0},   {2, 1, 1, 16, 1},  {1, 1, 2, 32, 1},   {2, 8, 7, 16, 0},
                        {1, 6, 12, 32, 1},  {2, 14, 10, 16, 0}, {1, 12, 9, 32, 0}, {1, 13, 23, 16, 1}, {1, 11, 29, 32, 1},
                        {1, 22, 29, 32, 0}, {1, 26, 26, 16, 0}, {1, 9, 24, 16, 0}};
  for (const bool tf32 : {true, false}) {
    const Tf32Allowed allowed(tf32);
    double most[3] = {};
    for (const Size& s : sizes) {
      const std::int64_t oh = s.h - 2 + 2 * s.padding, ow = s.w - 2 + 2 * s.padding;
      const kernels::Conv2dDims d{s.n, 16, s.h, s.w, s.o, 3, 3, oh, ow, {1, 1}, {s.padding, s.padding}, {1, 1}, 1};
      INFO((tf32 ? "TF32 " : "three products ") << s.n << "x16x" << s.h << "x" << s.w << " to " << s.o << ", padding " << s.padding);
      const Operands o{noise({s.n * s.h * s.w * 16}, "x"), noise({s.o * 144}, "w", DType::f32, -0.3, 0.2), noise({s.o}, "b"),
                       noise({s.n * oh * ow * s.o}, "gy")};
#ifdef MICA_CUDA_EMULATED
      const int before = emulator::submitted("conv2d_pack_filters");
#endif
      const std::vector<Tensor> got = convolve(Device::cuda(), d, o);
#ifdef MICA_CUDA_EMULATED
      CHECK(emulator::submitted("conv2d_pack_filters") == before + 2);  // tensor cores were used
#endif
      const std::vector<Tensor> exact = convolve(Device(), d, map(o, [](const Tensor& x) { return x.to(DType::f64); }));
      const std::vector<Tensor> sharp = tf32 ? convolve(Device(), d, map(o, rounded)) : exact;
      for (std::size_t i = 0; i < 3; ++i) {
        most[i] = std::max(most[i], error(got[i], exact[i]));
        CHECK(error(got[i], sharp[i]) < 3e-6);            // sums of 144 products in f32
        if (tf32) CHECK(error(got[i], exact[i]) < 2e-3);  // two operands, each off by 2⁻¹¹ at most
      }
      CHECK(error(got[3], exact[3]) < 1e-6);
    }
    for (const double e : most) CHECK((e > 1e-5) == tf32);  // the setting is heard
  }
}

TEST_CASE("tensor cores give one gradient alone as they give both", "[cuda]") {
  if (no_tensor_cores()) return;
  for (const bool tf32 : {true, false})
    for (const Size& s : {Size{2, 8, 7, 16, 0}, Size{1, 11, 29, 32, 1}, Size{1, 9, 26, 32, 0}, Size{3, 3, 3, 16, 1}}) {
      const Tf32Allowed allowed(tf32);
      const std::int64_t oh = s.h - 2 + 2 * s.padding, ow = s.w - 2 + 2 * s.padding;
      const kernels::Conv2dDims d{s.n, 16, s.h, s.w, s.o, 3, 3, oh, ow, {1, 1}, {s.padding, s.padding}, {1, 1}, 1};
      INFO((tf32 ? "TF32 " : "three products ") << s.n << "x16x" << s.h << "x" << s.w << " to " << s.o << ", padding " << s.padding);
      const Operands o{noise({s.n * s.h * s.w * 16}, "x"), noise({s.o * 144}, "w", DType::f32, -0.3, 0.2), Tensor(),
                       noise({s.n * oh * ow * s.o}, "gy")};
      const std::vector<Tensor> both = gradients(d, o, true, true);
#ifdef MICA_CUDA_EMULATED
      const int packed = emulator::submitted("conv2d_pack_filters"), summed = emulator::submitted("conv2d_backward_weight");
#endif
      const std::vector<Tensor> data = gradients(d, o, true, false), weight = gradients(d, o, false, true);
#ifdef MICA_CUDA_EMULATED
      CHECK(emulator::submitted("conv2d_pack_filters") == packed + 2);     // tensor cores were used
      CHECK(emulator::submitted("conv2d_backward_weight") == summed + 1);  // and only the weight gradient has parts to add
#endif
      CHECK(same_bits(data[0].to(Device()), both[0].to(Device())));
      CHECK(error(weight[1].to(Device()), both[1].to(Device())) < 1e-6);  // by more warps, in another order
      CHECK(same_bits(weight[2].to(Device()), both[2].to(Device())));
    }
}

TEST_CASE("within a chain the data gradient is the same without the weight gradient, and so are the sums on its way", "[cuda]") {
  if (no_tensor_cores()) return;
  const kernels::Conv2dDims d{2, 16, 7, 9, 32, 3, 3, 5, 7, {1, 1}, {0, 0}, {1, 1}, 1};
  const Tensor x = noise({d.n * d.h * d.w * 16}, "x").to(Device::cuda()), g = noise({d.n * d.oh * d.ow * d.o}, "g").to(Device::cuda()),
               w = noise({d.o * 144}, "w").to(Device::cuda()), factors = noise({4 * 16}, "factors").to(Device::cuda());
  kernels::Cuda& cuda = cuda_context(Device::cuda());
  const auto packed = cuda.scratch<float>(kernels::conv2d_chain_filter_floats(d));
  const auto filters = kernels::conv2d_chain_pack_filters(cuda, d, w.data<float>(), packed.get());
  const float* const by = factors.data<float>();
  const auto backward = [&](bool weight) {
    Tensor gx = Tensor::empty({x.numel()}, DType::f32, Device::cuda()), gw = Tensor::empty({w.numel()}, DType::f32, Device::cuda()),
           sums = Tensor::empty({5 * 16}, DType::f32, Device::cuda());
    float* const of_norm = sums.data<float>();
    const kernels::ChainNormGradients norm{by + 32, true, of_norm, of_norm + 16, of_norm + 32, nullptr};
    kernels::conv2d_chain_backward(cuda, d, {.g = g.data<float>()}, {x.data<float>(), {by, by + 16, by + 32, by + 48}, {}}, filters,
                                   gx.data<float>(), weight ? gw.data<float>() : nullptr, &norm);
    return std::vector<Tensor>{gx.to(Device()), sums.to(Device())};
  };
  const std::vector<Tensor> both = backward(true), alone = backward(false);
  CHECK(same_bits(alone[0], both[0]));
  CHECK(same_bits(alone[1], both[1]));
}

TEST_CASE("convolutions by tensor cores pass NaN on, and infinity", "[cuda]") {
  if (no_tensor_cores()) return;
  for (const bool tf32 : {true, false}) {
    const Tf32Allowed allowed(tf32);
    const kernels::Conv2dDims d{1, 16, 5, 5, 16, 3, 3, 3, 3, {1, 1}, {0, 0}, {1, 1}, 1};
    Operands o{noise({400}, "x"), Tensor::ones({2304}), Tensor::zeros({16}), noise({144}, "gy")};
    o.x.data<float>()[0] = std::bit_cast<float>(0x7fffffff);  // the NaN that rounding by addition would make −0
    CHECK(std::isnan(values(convolve(Device::cuda(), d, o)[0])[0]));
    o.x.data<float>()[0] = INFINITY;
    const double y = values(convolve(Device::cuda(), d, o)[0])[0];
    CHECK((tf32 ? y == INFINITY : !std::isfinite(y)));  // three products meet ∞ − ∞
    CHECK(std::isfinite(values(convolve(Device::cuda(), d, o)[0])[16]));
  }
}

TEST_CASE("a convolution by tensor cores is left to others where its bias begins anywhere", "[cuda]") {
  if (no_tensor_cores()) return;
  const kernels::Conv2dDims d{1, 16, 4, 5, 16, 3, 3, 2, 3, {1, 1}, {0, 0}, {1, 1}, 1};
  const Operands o{noise({320}, "x"), noise({2304}, "w", DType::f32, -0.3, 0.2), noise({17}, "b"), noise({96}, "gy")};
  const auto want = convolve(Device(), d, map({o.x, o.w, o.b.slice(1, 17), o.gy}, [](const Tensor& x) { return x.to(DType::f64); }));
  const auto got = run_kernel(Device::cuda(), {o.x, o.w, o.b}, {{96, DType::f32}}, [&](auto& context, const auto& in, const auto& out) {
    kernels::conv2d_forward(context, d, at<float>(in, 0), at<float>(in, 1), at<float>(in, 2) + 1, at<float>(out, 0));
  });
  CHECK(error(got[0], want[0]) < 3e-6);
}

TEST_CASE("the weight gradient of more blocks than leave their parts at once", "[cuda]") {
  if (no_tensor_cores()) return;
  const Tf32Allowed no(false);
  const kernels::Conv2dDims d{1030, 16, 3, 3, 16, 3, 3, 1, 1, {1, 1}, {0, 0}, {1, 1}, 1};
  const Operands o{noise({d.n * 144}, "x"), noise({2304}, "w", DType::f32, -0.3, 0.2), noise({16}, "b"), noise({d.n * 16}, "gy")};
  const auto want = convolve(Device(), d, map(o, [](const Tensor& x) { return x.to(DType::f64); }));
  CHECK(error(gradients(d, o, false, true)[1], want[2]) < 3e-6);
}
#endif
