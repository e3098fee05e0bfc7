// Reductions on CUDA beside the CPU's: one stage and two, rows and columns, results in another order than x's.
#include "both_backends.h"

#include <mica/kernels/reduce.h>

#include <algorithm>

using namespace mica;
using namespace mica::test;
using kernels::Extremum;
using kernels::Region;

namespace {

// A dense x of these sizes; 'r' marks dimensions that are reduced, 'k' and 'K' kept ones, the last of 'K' being outermost in y.
struct Case {
  std::vector<std::int64_t> sizes;
  std::string marks;
};

const Case cases[] = {
    {{70000}, "r"},          {{1, 1}, "kr"},           {{1}, "r"},             {{70001, 1}, "rk"},
    {{5000, 3}, "kr"},       {{5000, 3}, "rk"},        {{3, 5000}, "kr"},      {{3, 5000}, "rk"},
    {{40, 33}, "kr"},        {{40, 257}, "kr"},        {{40, 1025}, "kr"},     {{2, 20003}, "kr"},
    {{1100, 300}, "kr"},     {{20000, 16}, "rk"},      {{9000, 5}, "rk"},      {{300, 257}, "rk"},
    {{7, 600, 5}, "krk"},    {{7, 600, 5}, "rkr"},     {{600, 7, 9}, "rkk"},   {{3, 40, 64}, "krk"},
    {{4, 9, 11, 8}, "rrrk"}, {{5, 6, 7, 8}, "rKKK"},   {{50, 6, 70}, "rKK"},   {{6, 3, 50, 20}, "krkr"},
};

struct Regions {
  Region kept, reduced;
  std::int64_t outputs = 1, elements = 1;

  explicit Regions(const Case& c) {
    std::vector<std::pair<std::int64_t, std::int64_t>> behind;
    std::int64_t stride = mica::numel(c.sizes);
    for (std::size_t dim = 0; dim < c.sizes.size(); ++dim) {
      const std::int64_t size = c.sizes[dim];
      elements *= size, stride /= std::max<std::int64_t>(size, 1);
      if (c.marks[dim] == 'r') reduced.push_back(size, stride);
      else outputs *= size;
      if (c.marks[dim] == 'k') kept.push_back(size, stride);
      if (c.marks[dim] == 'K') behind.insert(behind.begin(), {size, stride});
    }
    for (const auto& [size, along] : behind) kept.push_back(size, along);
  }
};

constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("sums on CUDA equal the CPU's", "[cuda][kernels]") {
  if (no_device()) return;
  for (const Case& c : cases) for_each_floating([&](auto t, DType dtype, double rounding) {
    using T = decltype(t);
    const Regions r(c);
    const auto call = [&](auto& context, const auto& in, const auto& out) {
      kernels::sum<T>(context, r.kept, r.reduced, 0.5, in[0].template data<T>(), out[0].template data<T>());
    };
    INFO(to_string(Shape(c.sizes)) << " " << c.marks);
    const Tensor x = random_values(r.elements, dtype, false, "x");
    CHECK(backends_differ({random_values(r.elements, dtype, true, "x")}, {{r.outputs, dtype}}, call) == 0);
    CHECK(backends_differ({x}, {{r.outputs, dtype}}, call) <= rounding);
    CHECK(backends_differ({with_some(x, infinity, 1, "where")}, {{r.outputs, dtype}}, call) <= rounding);
  });
}

TEST_CASE("sums of nothing are 0 on CUDA, and no sums are none", "[cuda][kernels]") {
  if (no_device()) return;
  for (const Case& c : {Case{{5, 0}, "kr"}, Case{{0, 5}, "kr"}, Case{{0, 3}, "rk"}, Case{{0}, "r"}}) {
    const Regions r(c);
    const auto call = [&](auto& context, const auto& in, const auto& out) {
      kernels::sum<float>(context, r.kept, r.reduced, 1, in[0].template data<float>(), out[0].template data<float>());
    };
    CHECK(backends_differ({Tensor::zeros({0})}, {{r.outputs, DType::f32}}, call) == 0);
  }
}

TEST_CASE("a sum on CUDA has the same bits wherever x begins", "[cuda][kernels]") {
  if (no_device()) return;
  for (const Case& c : {Case{{70000}, "r"}, Case{{3, 5003}, "kr"}, Case{{5000, 3}, "rk"}}) {
    const Regions r(c);
    const Tensor x = random_values(r.elements + 3, DType::f64, false, "x");
    const auto sum_from = [&](std::int64_t begin) {
      Tensor shifted = x.clone();
      std::copy_n(x.data<double>(), r.elements, shifted.data<double>() + begin);
      return run_kernel(Device::cuda(), {shifted}, {{r.outputs, DType::f64}}, [&](auto& context, const auto& in, const auto& out) {
        kernels::sum<double>(context, r.kept, r.reduced, 1, in[0].template data<double>() + begin, out[0].template data<double>());
      })[0];
    };
    CHECK(same_bits(sum_from(0), sum_from(1)));
  }
}

TEST_CASE("largest and smallest values on CUDA, and where they are, equal the CPU's", "[cuda][kernels]") {
  if (no_device()) return;
  for (const Case& c : cases) for_each_floating([&](auto t, DType dtype, double) {
    using T = decltype(t);
    const Regions r(c);
    const Tensor x = random_values(r.elements, dtype, true, "x");  // with ties
    INFO(to_string(Shape(c.sizes)) << " " << c.marks);
    for (const Extremum which : {Extremum::max, Extremum::min})
      for (const Tensor& values : {x, with_some(with_some(x, infinity, 2, "a"), std::nan(""), 3, "b"),
                                   Tensor::full({r.elements}, which == Extremum::max ? -infinity : infinity, dtype)}) {
        const std::vector<Output> outputs{{r.outputs, dtype}, {r.outputs, DType::i64}};
        CHECK(backends_differ({values}, outputs, [&](auto& context, const auto& in, const auto& out) {
          kernels::extremum<T>(context, which, r.kept, r.reduced, in[0].template data<T>(), out[0].template data<T>(), out[1].template data<std::int64_t>());
        }) == 0);
      }
  });
}

TEST_CASE("gradients of largest values on CUDA equal the CPU's", "[cuda][kernels]") {
  if (no_device()) return;
  for (const Case& c : cases) for_each_floating([&](auto t, DType dtype, double) {
    using T = decltype(t);
    const Regions r(c);
    const Tensor x = random_values(r.elements, dtype, true, "x"), gy = random_values(r.outputs, dtype, false, "gy");
    INFO(to_string(Shape(c.sizes)) << " " << c.marks);
    for (const Tensor& values : {x, with_some(x, std::nan(""), 3, "b")}) {
      const Tensor y = run_kernel(Device(), {values}, {{r.outputs, dtype}}, [&](auto& context, const auto& in, const auto& out) {
        kernels::extremum<T>(context, Extremum::max, r.kept, r.reduced, in[0].template data<T>(), out[0].template data<T>(), nullptr);
      })[0];
      for (const bool nan_equal : {false, true})
        CHECK(backends_differ({values, y, gy}, {{r.elements, dtype}}, [&](auto& context, const auto& in, const auto& out) {
          kernels::extremum_backward<T>(context, r.kept, r.reduced, nan_equal, in[0].template data<T>(), in[1].template data<T>(),
                                        in[2].template data<T>(), out[0].template data<T>());
        }) == 0);
    }
  });
}
