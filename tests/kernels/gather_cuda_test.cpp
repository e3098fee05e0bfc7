// gather, scatter_add and the check of indices on CUDA, on sizes that reach every form of them.
#include "on_cuda.h"

#include <mica/core/error.h>
#include <mica/core/ops/rearrange.h>
#include <mica/core/ops/scatter_add.h>
#include <mica/core/range.h>

using namespace mica;
using namespace mica::test;

namespace {

Tensor indices(const Shape& shape, std::int64_t below) {
  std::vector<std::int64_t> v(static_cast<std::size_t>(numel(shape)));
  std::uint64_t state = 1;
  for (std::int64_t& i : v) i = static_cast<std::int64_t>(((state = state * 6364136223846793005ULL + 1442695040888963407ULL) >> 33) % static_cast<std::uint64_t>(below));
  return Tensor::from(v, shape);
}

struct Case {
  Shape x, index;
  int dim;
};
// Lines of a few and of many positions, along the contiguous dimension and across it; one line; lines for many blocks.
const Case cases[] = {{{5}, {3}, 0},           {{1000}, {2500}, 0},           {{256}, {256}, 0},     {{7, 300}, {900, 300}, 0},
                      {{3, 257}, {3, 513}, 1}, {{7, 9000}, {5, 9000}, 0},     {{9000, 3}, {9000, 2}, 1}, {{3, 4, 5, 6}, {2, 9, 5, 3}, 1},
                      {{2, 3, 7, 5}, {2, 3, 7, 300}, 3}};

std::string text(const Case& c) { return to_string(c.x) + " by " + to_string(c.index) + " along " + std::to_string(c.dim); }

}  // namespace

TEST_CASE("gather on CUDA moves every element type as the CPU does", "[cuda]") {
  if (no_device()) return;
  for (const Case& c : cases)
    for (const DType type : {DType::f32, DType::f64, DType::i64, DType::i32, DType::u8}) {
      INFO(text(c));
      Tensor x = noise(c.x, "x");
      x = (type == DType::u8 ? noise(c.x, "x").copy_(indices(c.x, 200)) : x).to(type);
      const Tensor index = indices(c.index, c.x[static_cast<std::size_t>(c.dim)]);
      CHECK(same_bits(on_cpu(gather(on_cuda(x), c.dim, on_cuda(index))), gather(x, c.dim, index)));
    }
}

TEST_CASE("scatter_add on CUDA adds in the order of positions, as the CPU does", "[cuda]") {
  if (no_device()) return;
  for (const Case& c : cases)
    for (const DType type : {DType::f32, DType::f64}) {
      INFO(text(c));
      const Tensor y = noise(c.index, "y", type), index = indices(c.index, c.x[static_cast<std::size_t>(c.dim)]);
      CHECK(same_bits(on_cpu(scatter_add(c.x, c.dim, on_cuda(index), on_cuda(y))), scatter_add(c.x, c.dim, index, y)));
    }
}

TEST_CASE("indices outside are reported when the device is waited for, and until then left out", "[cuda]") {
  if (no_device()) return;
  for (const auto& [length, wide] : {std::pair<std::int64_t, std::int64_t>{600, 1}, {3, 9000}}) {  // scatter_add's two forms
    std::vector<std::int64_t> v(static_cast<std::size_t>(length * wide), 0);
    v[1] = 7, v[2] = -1, v.back() = std::int64_t{1} << 40;
    const Tensor index = Tensor::from(v, {length, wide}), x = noise({2, wide}, "x");
    const Tensor y = gather(on_cuda(x), 0, on_cuda(index));
    const std::string message = "gather: an index is 7, expected 0 to 1, positions in dimension 0 of the input 2×" + std::to_string(wide);
    CHECK(error_text<Error>([&] { gather(x, 0, index); }) == message);
    CHECK(error_text<Error>([&] { on_cpu(y); }) == message);
    const std::vector<float> got = on_cpu(y).to_vector<float>(), from = x.to_vector<float>();
    for (std::size_t i = 0; i < v.size(); ++i) REQUIRE(got[i] == (v[i] == 0 ? from[i % static_cast<std::size_t>(wide)] : 0));

    const Tensor ones = Tensor::ones({length, wide});
    const std::vector<float> sums = on_cpu(scatter_add({2, wide}, 0, on_cuda(index), on_cuda(ones))).to_vector<float>();
    double total = 0;
    for (const float sum : sums) total += static_cast<double>(sum);
    CHECK(total == static_cast<double>(length * wide - 3));
  }
}

TEST_CASE("require_in_range on CUDA throws the CPU's error for the first value outside, wherever it stands", "[cuda]") {
  if (no_device()) return;
  const auto describe = [](std::int64_t position, std::int64_t value) { return "at " + std::to_string(position) + ": " + std::to_string(value); };
  for (const std::int64_t n : {1, 31, 1024, 1025, 16384, 16385, 70001, 1200007})
    for (const std::int64_t bad : {std::int64_t{0}, n / 2, n - 1}) {
      Tensor values = indices({n}, 10);
      values.data<std::int64_t>()[n - 1] = 10;  // a later one, which must not be taken
      values.data<std::int64_t>()[bad] = -3;
      const Tensor there = on_cuda(values);
      INFO(n << " values, " << bad << " bad");
      const auto found = [&] { return error_text<Error>([&] { there.to_vector<std::int64_t>(); }); };
      const std::string message = error_text<Error>([&] { require_in_range(values, 10, {}, describe); });
      CHECK(message == "at " + std::to_string(bad) + ": -3");
      require_in_range(there, 10, {}, describe);
      CHECK(found() == message);
      CHECK(found() == "");  // told once
      require_in_range(there, 11, -3, describe);    // allowed
      CHECK(found() == "");
    }
  // Of several checks the first that fails is told.
  const Tensor good = on_cuda(Tensor::from<std::int64_t>({0, 1}, {2})), bad = on_cuda(Tensor::from<std::int64_t>({0, 9}, {2}));
  require_in_range(good, 2, {}, describe);
  require_in_range(bad, 2, {}, [](auto...) { return std::string("the second"); });
  require_in_range(bad, 2, {}, describe);
  CHECK(error_text<Error>([&] { good.to_vector<std::int64_t>(); }) == "the second");
  CHECK(good.to_vector<std::int64_t>() == std::vector<std::int64_t>{0, 1});
}
