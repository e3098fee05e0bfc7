// Pooling on CUDA beside the CPU's: windows that tile, overlap, leave gaps and hang over the edge, packs of channels and single ones.
#include "both_backends.h"

#include <mica/kernels/pool.h>

#include <algorithm>

using namespace mica;
using namespace mica::test;
using kernels::AveragePool;
using kernels::Pool2dDims;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

struct Window {
  std::array<std::int64_t, 2> kernel, stride, padding{0, 0}, dilation{1, 1};
  bool ceil = false;
};

const Window windows[] = {
    {{2, 2}, {2, 2}},         {{2, 2}, {2, 2}, {0, 0}, {1, 1}, true}, {{3, 3}, {3, 3}},         {{3, 2}, {3, 2}, {0, 0}, {1, 1}, true},
    {{2, 2}, {1, 1}},         {{3, 3}, {2, 2}, {1, 1}},               {{2, 2}, {2, 2}, {1, 1}}, {{2, 2}, {3, 3}},
    {{3, 3}, {1, 2}, {1, 0}}, {{2, 3}, {2, 1}, {1, 1}, {2, 2}},       {{2, 2}, {2, 2}, {0, 0}, {3, 2}}};

// n×h×w×c
const std::array<std::int64_t, 4> images[] = {{3, 8, 12, 16}, {2, 7, 9, 3}, {1, 9, 7, 1}, {2, 13, 13, 4}, {12, 14, 14, 8}, {0, 7, 7, 4}};

Pool2dDims dims(const std::array<std::int64_t, 4>& image, const Window& w) {
  const auto [n, height, width, c] = image;
  const auto along = [&](std::size_t i, std::int64_t size) { return kernels::window_output(size, w.kernel[i], w.stride[i], w.padding[i], w.dilation[i], w.ceil); };
  return {n, c, height, width, along(0, height), along(1, width), w.kernel, w.stride, w.padding, w.dilation};
}

std::string text(const Pool2dDims& d) {
  return fmt::format("{}×{}×{}×{} to {}×{}, kernel {}×{}, stride {}×{}, padding {}×{}, dilation {}×{}", d.n, d.h, d.w, d.c, d.oh, d.ow, d.kernel[0],
                     d.kernel[1], d.stride[0], d.stride[1], d.padding[0], d.padding[1], d.dilation[0], d.dilation[1]);
}

void check_average(const Pool2dDims& d, const AveragePool& rule) {
  INFO(text(d) << ", adaptive " << rule.adaptive << ", counts padding " << rule.count_include_pad << ", divisor " << rule.divisor);
  for_each_floating([&](auto t, DType dtype, double rounding) {
    using T = decltype(t);
    const std::int64_t pixels = d.n * d.h * d.w * d.c, outputs = d.n * d.oh * d.ow * d.c;
    CHECK(backends_differ({random_values(pixels, dtype, true, "x")}, {{outputs, dtype}}, [&](auto& context, const auto& in, const auto& out) {
      kernels::avg_pool2d_forward<T>(context, d, rule, in[0].template data<T>(), out[0].template data<T>());
    }) == 0);
    CHECK(backends_differ({random_values(outputs, dtype, false, "gy")}, {{pixels, dtype}}, [&](auto& context, const auto& in, const auto& out) {
      kernels::avg_pool2d_backward<T>(context, d, rule, in[0].template data<T>(), out[0].template data<T>());
    }) <= rounding);
  });
}

template <class T>
double max_pools_differ(const Pool2dDims& d, const Tensor& x, const Tensor& gy) {
  return std::max(backends_differ({x}, {{d.n * d.oh * d.ow * d.c, x.dtype()}},
                                  [&](auto& context, const auto& in, const auto& out) {
                                    kernels::max_pool2d_forward<T>(context, d, in[0].template data<T>(), out[0].template data<T>());
                                  }),
                  backends_differ({x, gy}, {{d.n * d.h * d.w * d.c, x.dtype()}}, [&](auto& context, const auto& in, const auto& out) {
                    kernels::max_pool2d_backward<T>(context, d, in[0].template data<T>(), in[1].template data<T>(), out[0].template data<T>());
                  }));
}

}  // namespace

TEST_CASE("max pooling on CUDA equals the CPU's to the bit", "[cuda][kernels]") {
  if (no_device()) return;
  for (const auto& image : images) for (const Window& w : windows) for_each_floating([&](auto t, DType dtype, double) {
    using T = decltype(t);
    const Pool2dDims d = dims(image, w);
    const std::int64_t pixels = d.n * d.h * d.w * d.c, outputs = d.n * d.oh * d.ow * d.c;
    INFO(text(d));
    const Tensor x = random_values(pixels, dtype, true, "x"), gy = random_values(outputs, dtype, false, "gy");  // with ties
    for (const Tensor& values : {x, with_some(x, std::nan(""), pixels / 20, "a"), with_some(x, -infinity, pixels / 2, "b")})
      CHECK(max_pools_differ<T>(d, values, gy) == 0);
  });
}

TEST_CASE("average pooling on CUDA equals the CPU's", "[cuda][kernels]") {
  if (no_device()) return;
  for (const auto& image : images) {
    for (Window w : windows) {
      w.dilation = {1, 1};
      for (const AveragePool& rule : {AveragePool{false, true, 0}, AveragePool{false, false, 0}, AveragePool{false, true, -7}}) check_average(dims(image, w), rule);
    }
    for (const auto& [oh, ow] : std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}, {3, 2}, {20, 5}, {0, 3}, {1, 4}})
      check_average({image[0], image[3], image[1], image[2], oh, ow, {}, {}, {}, {}}, {true, true, 0});
  }
  check_average({2, 3, 150, 110, 1, 1, {}, {}, {}, {}}, {true, true, 0});  // in several pieces
  check_average({2, 5, 0, 4, 1, 1, {}, {}, {}, {}}, {true, true, 0});      // of no pixels: NaN
}

// 2⁴⁰ positions, of which few are in the image.
TEST_CASE("pooling does not walk through the padding of a huge window", "[cuda][kernels]") {
  constexpr std::int64_t huge = 1 << 20;
  const Tensor x = Tensor::from<float>({1, 2, 3, 4, 9, 5, 6, 7, 8}, {9});
  for (const Window& w : {Window{{huge, huge}, {1, 1}, {huge / 2, huge / 2}}, Window{{huge, huge}, {huge, huge}, {0, 0}, {1, 1}, true},
                          Window{{huge, 3}, {2, 1}, {huge / 2, 1}, {1, 2}, true}}) {
    Pool2dDims d = dims({1, 3, 3, 1}, w);
    INFO(text(d));
    const Tensor gy = random_values(d.oh * d.ow, DType::f32, true, "gy");
    const Tensor y = Tensor::empty({d.oh * d.ow}), gx = Tensor::empty({9});
    kernels::max_pool2d_forward<float>(cpu_context(), d, x.data<float>(), y.data<float>());
    kernels::max_pool2d_backward<float>(cpu_context(), d, x.data<float>(), gy.data<float>(), gx.data<float>());
    CHECK(values(y) == std::vector<double>(static_cast<std::size_t>(y.numel()), 9));
    CHECK(sum(gx).item<float>() == sum(gy).item<float>());
    if (!no_device()) CHECK(max_pools_differ<float>(d, x, gy) == 0);
    d.dilation = {1, 1};
    if (!no_device()) check_average(d, {false, true, 0});
  }
}
