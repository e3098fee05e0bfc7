// The losses of classes, and what was classified correctly, on CUDA beside the CPU's.
#include "both_backends.h"

#include <mica/kernels/answers.h>
#include <mica/kernels/copy.h>
#include <mica/kernels/cross_entropy.h>

using namespace mica;
using namespace mica::test;
using kernels::NllDims;
using kernels::Reduction;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// Targets of `count` lines, some of them ignored.
Tensor targets(std::int64_t count, std::int64_t classes, std::int64_t ignored) {
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint32_t bits = kernels::random_bits(random_key("target"), static_cast<std::uint64_t>(i));
    values.push_back(bits % 5 == 0 ? ignored : static_cast<std::int64_t>(bits / 5) % classes);
  }
  return Tensor::from<std::int64_t>(values, {count});
}

const NllDims losses[] = {{1, 1, 1, -1, {}}, {128, 10, 1, -1, {}}, {5000, 3, 1, -1, {}}, {70, 1000, 1, -1, {}}, {40, 5, 130, -1, {}}, {0, 3, 1, -1, {}}};

// f(d) with each reduction, with and without class weights.
template <class F>
void for_each_reduction(NllDims d, const Tensor& weight, const F& f) {
  for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none})
    for (const Tensor& w : {Tensor(), weight}) {
      INFO(d.outer << "×" << d.classes << "×" << d.inner << " reduction " << static_cast<int>(reduction) << (w.defined() ? ", weighted" : ""));
      d.reduction = reduction;
      f(d, w, reduction == Reduction::none ? d.outer * d.inner : 1);
    }
}

}  // namespace

TEST_CASE("the likelihood loss of many lines on CUDA equals the CPU's", "[cuda][kernels]") {
  if (no_device()) return;
  for (const NllDims& sizes : losses) for_each_floating([&](auto t, DType dtype, double rounding) {
    using T = decltype(t);
    const std::int64_t count = sizes.outer * sizes.inner, n = count * sizes.classes;
    const Tensor y = random_values(n, dtype, false, "y"), target = targets(count, sizes.classes, -1);
    for_each_reduction(sizes, random_values(sizes.classes, dtype, true, "w"), [&](const NllDims& d, const Tensor& w, std::int64_t results) {
      for (const Tensor& gloss : {random_values(results, dtype, false, "g"), Tensor::full({results}, infinity, dtype)})
        CHECK(backends_differ({y, target, w, gloss}, {{results, dtype}, {n, dtype}, {1, DType::f64}}, [&](auto& context, const auto& in, const auto& out) {
          double* total = d.reduction == Reduction::mean ? at<double>(out, 2) : nullptr;
          kernels::nll_loss_forward<T>(context, d, at<T>(in, 0), at<std::int64_t>(in, 1), at<T>(in, 2), total, at<T>(out, 0));
          kernels::nll_loss_backward<T>(context, d, at<std::int64_t>(in, 1), at<T>(in, 2), total, at<T>(in, 3), at<T>(out, 1));
          if (!total) kernels::fill(context, 1, 0.0, at<double>(out, 2));
        }) <= rounding);
    });
  });
}

namespace {

// For each kind of team (kernels/cuda/team.h): lanes of a warp, blocks of both sizes, columns; some of one class.
const NllDims scores[] = {{1, 1, 1, -1, {}},    {300, 10, 1, -1, {}}, {1500, 1, 1, -1, {}}, {40, 33, 1, -1, {}},  {9, 250, 1, -1, {}}, {2, 1025, 1, -1, {}},
                          {1, 20003, 1, -1, {}}, {2, 21, 130, -1, {}}, {1, 500, 3, -1, {}}, {30, 2, 40, -1, {}}, {0, 3, 1, -1, {}}};

// Loss, gradient, m and L, total weight.
template <class T>
std::vector<Output> cross_entropy_outputs(const NllDims& d, std::int64_t results, DType dtype) {
  const std::int64_t lines = d.outer * d.inner;
  return {{results, dtype}, {lines * d.classes, dtype}, {2 * lines, dtype}, {1, DType::f64}};
}

// Forward and backward of x, target, weight and gloss.
template <class T>
auto cross_entropy_call(const NllDims& d, double smoothing) {
  return [d, smoothing](auto& context, const auto& in, const auto& out) {
    const kernels::CrossEntropy<T> call{d, smoothing, at<T>(in, 0), at<std::int64_t>(in, 1), at<T>(in, 2)};
    double* total = d.reduction == Reduction::mean ? at<double>(out, 3) : nullptr;
    kernels::cross_entropy_forward<T>(context, call, at<T>(out, 2), total, at<T>(out, 0));
    kernels::cross_entropy_backward<T>(context, call, at<T>(out, 2), total, at<T>(in, 3), at<T>(out, 1));
    if (!total) kernels::fill(context, 1, 0.0, at<double>(out, 3));
  };
}

}  // namespace

TEST_CASE("cross-entropy of long and short lines on CUDA equals the CPU's", "[cuda][kernels]") {
  if (no_device()) return;
  for (const NllDims& sizes : scores) for_each_floating([&](auto t, DType dtype, double rounding) {
    using T = decltype(t);
    const std::int64_t count = sizes.outer * sizes.inner, n = count * sizes.classes;
    const Tensor x = random_values(n, dtype, false, "x"), target = targets(count, sizes.classes, -1);
    const Tensor wild = with_some(with_some(with_some(x, -infinity, 1 + count / 4, "a"), infinity, 1 + count / 8, "b"), std::nan(""), 1 + count / 8, "c");
    for_each_reduction(sizes, random_values(sizes.classes, dtype, true, "w"), [&](const NllDims& d, const Tensor& w, std::int64_t results) {
      const auto outputs = cross_entropy_outputs<T>(d, results, dtype);
      const Tensor gloss = random_values(results, dtype, false, "g"), infinite = Tensor::full({results}, infinity, dtype);
      for (const double smoothing : {0.0, 0.1}) {
        INFO("smoothing " << smoothing);
        CHECK(backends_differ({x, target, w, gloss}, outputs, cross_entropy_call<T>(d, smoothing)) <= 10 * rounding);
        if (d.reduction != Reduction::none) continue;  // NaN throughout
        CHECK(backends_differ({wild, target, w, gloss}, outputs, cross_entropy_call<T>(d, smoothing)) <= 10 * rounding);
        CHECK(backends_differ({x, target, w, infinite}, outputs, cross_entropy_call<T>(d, smoothing)) <= 10 * rounding);
      }
    });
  });
}

TEST_CASE("targets that are no class count as ignored on CUDA", "[cuda][kernels]") {
  if (no_device()) return;
  for (const Reduction reduction : {Reduction::mean, Reduction::none}) {
    const NllDims d{700, 3, 1, -1, reduction};
    const std::int64_t n = d.outer * d.classes, results = reduction == Reduction::none ? d.outer : 1;
    const Tensor y = random_values(n, DType::f32, false, "y"), gloss = Tensor::ones({results}), ignored = targets(d.outer, d.classes, -1);
    std::vector<Output> outputs = cross_entropy_outputs<float>(d, results, DType::f32);
    outputs.insert(outputs.end(), {{results, DType::f32}, {n, DType::f32}, {1, DType::f64}, {1, DType::i64}});
    const auto call = [&](auto& context, const auto& in, const auto& out) {
      cross_entropy_call<float>(d, 0.1)(context, in, out);
      const std::int64_t* target = at<std::int64_t>(in, 1);
      kernels::fill(context, 1, 0.0, at<double>(out, 6));
      kernels::nll_loss_forward<float>(context, d, at<float>(in, 0), target, nullptr, at<double>(out, 6), at<float>(out, 4));
      kernels::nll_loss_backward<float>(context, d, target, nullptr, at<double>(out, 6), at<float>(in, 3), at<float>(out, 5));
      kernels::count_correct<float>(context, d.outer, d.classes, 1, at<float>(in, 0), target, at<std::int64_t>(out, 7));
    };
    const std::vector<Tensor> want = run_kernel(Device::cuda(), {y, ignored, {}, gloss}, outputs, call);
    for (const std::int64_t wrong : {std::int64_t{3}, std::int64_t{-7}, std::int64_t{1} << 40}) {
      const std::vector<Tensor> got = run_kernel(Device::cuda(), {y, targets(d.outer, d.classes, wrong), {}, gloss}, outputs, call);
      for (std::size_t i = 0; i < got.size(); ++i) CHECK(same_bits(got[i], want[i]));
    }
  }
}

TEST_CASE("correct rows are counted on CUDA as on the CPU", "[cuda][kernels]") {
  if (no_device()) return;
  for (const NllDims& d : losses) for_each_floating([&](auto t, DType dtype, double) {
    using T = decltype(t);
    const std::int64_t rows = d.outer * d.inner, n = rows * d.classes;
    const Tensor y = random_values(n, dtype, true, "y");  // with ties
    for (const Tensor& scores : {y, with_some(y, std::nan(""), n / 20, "a"), with_some(y, infinity, n / 10, "b")})
      CHECK(backends_differ({scores, targets(rows, d.classes, 0)}, {{2, DType::i64}, {d.classes * d.classes, DType::i64}}, [&](auto& context, const auto& in, const auto& out) {
        for (const int i : {0, 1}) kernels::count_correct<T>(context, rows, d.classes, i ? 3 : 1, at<T>(in, 0), at<std::int64_t>(in, 1), at<std::int64_t>(out, 0) + i);
        kernels::fill(context, d.classes * d.classes, std::int64_t{0}, at<std::int64_t>(out, 1));
        kernels::count_confusions<T>(context, rows, d.classes, at<T>(in, 0), at<std::int64_t>(in, 1), at<std::int64_t>(out, 1));
      }) == 0);
  });
}
