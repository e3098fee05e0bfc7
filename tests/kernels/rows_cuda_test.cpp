// Softmax, layer normalisation and the likelihood loss on CUDA beside the CPU's, on lines for each kind of team
// (kernels/cuda/team.h): lanes of a warp, blocks of both sizes, columns.
#include "both_backends.h"

#include <mica/kernels/layer_norm.h>
#include <mica/kernels/nll_loss.h>
#include <mica/kernels/softmax.h>

using namespace mica;
using namespace mica::test;
using kernels::NllDims;
using kernels::Reduction;
using kernels::SoftmaxDims;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

const SoftmaxDims lines[] = {{1, 1, 1},     {5000, 3, 1},   {3, 5000, 1}, {300, 10, 1},  {40, 33, 1},   {40, 257, 1},
                             {1100, 300, 1}, {5, 1025, 1},  {2, 20003, 1}, {1, 5000, 3}, {2, 10, 300}, {9, 17, 5},
                             {3, 4, 129},    {30, 2, 40}};

// Null for a tensor that is not given.
template <class T> T* at(const std::vector<Tensor>& tensors, std::size_t i) { return tensors[i].defined() ? tensors[i].data<T>() : nullptr; }

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

namespace {

// Targets of `count` lines, some of them ignored.
Tensor targets(std::int64_t count, std::int64_t classes, std::int64_t ignored) {
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint32_t bits = kernels::random_bits(random_key("target"), static_cast<std::uint64_t>(i));
    values.push_back(bits % 5 == 0 ? ignored : static_cast<std::int64_t>(bits / 5) % classes);
  }
  return Tensor::from<std::int64_t>(values, {count});
}

const NllDims losses[] = {{1, 1, 1, -1, 0, {}}, {128, 10, 1, -1, 0, {}}, {5000, 3, 1, -1, 0, {}}, {70, 1000, 1, -1, 0, {}}, {40, 5, 130, -1, 0, {}}, {0, 3, 1, -1, 0, {}}};

}  // namespace

TEST_CASE("the likelihood loss of many lines on CUDA equals the CPU's", "[cuda][kernels]") {
  if (no_device()) return;
  for (NllDims d : losses) for_each_floating([&](auto t, DType dtype, double rounding) {
    using T = decltype(t);
    const std::int64_t count = d.outer * d.inner, n = count * d.classes;
    const Tensor y = random_values(n, dtype, false, "y"), weight = random_values(d.classes, dtype, true, "w"), target = targets(count, d.classes, -1);
    for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none})
      for (const double smoothing : {0.0, 0.1}) for (const Tensor& w : {Tensor(), weight}) {
        INFO(d.outer << "×" << d.classes << "×" << d.inner << " reduction " << static_cast<int>(reduction) << " smoothing " << smoothing);
        d.reduction = reduction, d.smoothing = smoothing;
        const std::int64_t results = reduction == Reduction::none ? count : 1;
        CHECK(backends_differ({y, target, w}, {{results, dtype}}, [&](auto& context, const auto& in, const auto& out) {
          kernels::nll_loss_forward<T>(context, d, at<T>(in, 0), at<std::int64_t>(in, 1), at<T>(in, 2), at<T>(out, 0));
        }) <= rounding);
        for (const Tensor& gloss : {random_values(results, dtype, false, "g"), Tensor::full({results}, infinity, dtype)})
          CHECK(backends_differ({target, w, gloss}, {{n, dtype}}, [&](auto& context, const auto& in, const auto& out) {
          kernels::nll_loss_backward<T>(context, d, at<std::int64_t>(in, 0), at<T>(in, 1), at<T>(in, 2), at<T>(out, 0));
        }) <= rounding);
      }
  });
}

TEST_CASE("targets that are no class count as ignored on CUDA", "[cuda][kernels]") {
  if (no_device()) return;
  const NllDims d{700, 3, 1, -1, 0.1, Reduction::mean};
  const Tensor y = random_values(d.outer * d.classes, DType::f32, false, "y"), gloss = Tensor::ones({1}), ignored = targets(d.outer, d.classes, -1);
  const auto call = [&](auto& context, const auto& in, const auto& out) {
    kernels::nll_loss_forward<float>(context, d, at<float>(in, 0), at<std::int64_t>(in, 1), nullptr, at<float>(out, 0));
    kernels::nll_loss_backward<float>(context, d, at<std::int64_t>(in, 1), nullptr, at<float>(in, 2), at<float>(out, 1));
    kernels::count_correct<float>(context, d.outer, d.classes, at<float>(in, 0), at<std::int64_t>(in, 1), at<std::int64_t>(out, 2));
  };
  const std::vector<Output> outputs{{1, DType::f32}, {d.outer * d.classes, DType::f32}, {1, DType::i64}};
  const std::vector<Tensor> want = run_kernel(Device::cuda(), {y, ignored, gloss}, outputs, call);
  for (const std::int64_t wrong : {std::int64_t{3}, std::int64_t{-7}, std::int64_t{1} << 40}) {
    const std::vector<Tensor> got = run_kernel(Device::cuda(), {y, targets(d.outer, d.classes, wrong), gloss}, outputs, call);
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(same_bits(got[i], want[i]));
  }
}

TEST_CASE("correct rows are counted on CUDA as on the CPU", "[cuda][kernels]") {
  if (no_device()) return;
  for (const NllDims& d : losses) for_each_floating([&](auto t, DType dtype, double) {
    using T = decltype(t);
    const std::int64_t rows = d.outer * d.inner, n = rows * d.classes;
    const Tensor y = random_values(n, dtype, true, "y");  // with ties
    for (const Tensor& scores : {y, with_some(y, std::nan(""), n / 20, "a"), with_some(y, infinity, n / 10, "b")})
      CHECK(backends_differ({scores, targets(rows, d.classes, 0)}, {{1, DType::i64}}, [&](auto& context, const auto& in, const auto& out) {
        kernels::count_correct<T>(context, rows, d.classes, at<T>(in, 0), at<std::int64_t>(in, 1), at<std::int64_t>(out, 0));
      }) == 0);
  });
}
