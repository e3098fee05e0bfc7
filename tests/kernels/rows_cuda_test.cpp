// Softmax and layer normalisation on CUDA beside the CPU's, on lines for each kind of team
// (kernels/cuda/team.h): lanes of a warp, blocks of both sizes, columns.
#include "both_backends.h"

#include <mica/kernels/layer_norm.h>
#include <mica/kernels/softmax.h>

using namespace mica;
using namespace mica::test;
using kernels::SoftmaxDims;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

const SoftmaxDims lines[] = {{1, 1, 1},     {5000, 3, 1},   {3, 5000, 1}, {300, 10, 1},  {40, 33, 1},   {40, 257, 1},
                             {1100, 300, 1}, {5, 1025, 1},  {2, 20003, 1}, {1, 5000, 3}, {2, 10, 300}, {9, 17, 5},
                             {3, 4, 129},    {30, 2, 40}};

}  // namespace

TEST_CASE("softmax of long and short lines on CUDA equals the CPU's", "[cuda][kernels]") {
  if (no_device()) return;
  for (const SoftmaxDims& d : lines) for_each_floating([&](auto t, DType dtype, double rounding) {
    using T = decltype(t);
    INFO(d.outer << "×" << d.length << "×" << d.inner);
    const std::int64_t n = d.outer * d.length * d.inner;
    const std::vector<Output> outputs{{n, dtype}, {n, dtype}};
    const auto forward = [&](auto& context, const auto& in, const auto& out) {
      kernels::softmax_forward<T>(context, d, at<T>(in, 0), at<T>(out, 0));
      kernels::log_softmax_forward<T>(context, d, at<T>(in, 0), at<T>(out, 1));
    };
    const Tensor x = random_values(n, dtype, false, "x"), gy = random_values(n, dtype, false, "gy");
    for (const Tensor& values : {with_some(with_some(x, 1e4, 2, "a"), -infinity, n / 3, "b"), with_some(with_some(x, infinity, 1, "c"), std::nan(""), 1, "d"),
                                 Tensor::full({n}, -infinity, dtype)})
      CHECK(backends_differ({values}, outputs, forward) <= rounding);
    const auto y = run_kernel(Device(), {x}, outputs, forward);
    CHECK(backends_differ({y[0], y[1], gy}, outputs, [&](auto& context, const auto& in, const auto& out) {
      kernels::softmax_backward<T>(context, d, at<T>(in, 0), at<T>(in, 2), at<T>(out, 0));
      kernels::log_softmax_backward<T>(context, d, at<T>(in, 1), at<T>(in, 2), at<T>(out, 1));
    }) <= 10 * rounding);
  });
}

TEST_CASE("layer normalisation of long and short rows on CUDA equals the CPU's", "[cuda][kernels]") {
  if (no_device()) return;
  for (const auto& [rows, n] : std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}, {5000, 3}, {3, 5000}, {40, 33}, {40, 257}, {1100, 300}, {2, 20003}, {20000, 2}, {3, 0}, {0, 3}})
    for_each_floating([&, rows = rows, n = n](auto t, DType dtype, double rounding) {
      using T = decltype(t);
      INFO(rows << "×" << n);
      const Tensor x = random_values(rows * n, dtype, false, "x"), gy = random_values(rows * n, dtype, false, "gy");
      const Tensor w = random_values(n, dtype, false, "w"), b = random_values(n, dtype, false, "b");
      const std::vector<Output> forward{{rows * n, dtype}, {rows, dtype}, {rows, dtype}}, backward{{rows * n, dtype}, {n, dtype}, {n, dtype}};
      const auto run = [&, rows = rows, n = n](auto& context, const auto& in, const auto& out) {
        kernels::layer_norm_forward<T>(context, rows, n, 1e-3, at<T>(in, 0), at<T>(in, 1), at<T>(in, 2), at<T>(out, 0), at<T>(out, 1), at<T>(out, 2));
      };
      for (const auto& [scale, shift] : std::vector<std::pair<Tensor, Tensor>>{{w, b}, {w, {}}, {{}, b}, {{}, {}}})
        CHECK(backends_differ({x, scale, shift}, forward, run) <= 10 * rounding);
      const std::vector<Tensor> kept = run_kernel(Device(), {x, w, b}, forward, run);
      for (const Tensor& scale : {w, Tensor()})
        CHECK(backends_differ({x, scale, kept[1], kept[2], gy}, backward, [&, rows = rows, n = n](auto& context, const auto& in, const auto& out) {
          kernels::layer_norm_backward<T>(context, rows, n, at<T>(in, 0), at<T>(in, 1), at<T>(in, 2), at<T>(in, 3), at<T>(in, 4), at<T>(out, 0),
                                          at<T>(out, 1), at<T>(out, 2));
        }) <= 100 * rounding);
    });
}
