#include "../catch.h"
#include "../compare.h"

#include <mica/core/allocator.h>
#include <mica/core/context.h>
#include <mica/core/error.h>
#include <mica/core/ops.h>
#include <mica/core/random.h>

#include <algorithm>
#include <numeric>

using namespace mica;
using namespace mica::test;

namespace {

Tensor counting(const Shape& shape) {
  std::vector<double> v(static_cast<std::size_t>(numel(shape)));
  std::iota(v.begin(), v.end(), 0.0);
  return Tensor::from<double>(v, shape);
}

}  // namespace

TEST_CASE("values enter and leave in logical order, whatever the layout") {
  for (const Shape& shape : {Shape{2, 3, 4, 5}, Shape{1, 7, 1, 3}, Shape{3, 4, 5}, Shape{6}, Shape{}, Shape{0, 3, 2, 2}, Shape{2, 3, 2, 2, 2}}) {
    const Tensor x = counting(shape);
    const std::vector<double> v = x.to_vector<double>();
    for (std::size_t i = 0; i < v.size(); ++i) CHECK(v[i] == static_cast<double>(i));
  }
  CHECK(counting({1, 2, 1, 2}).data<double>()[1] == 2);  // stored N,H,W,C
}

TEST_CASE("reshape keeps logical order between every pair of ranks") {
  const Shape shapes[] = {{24}, {2, 12}, {2, 3, 4}, {1, 2, 3, 4}, {4, 3, 2, 1}, {2, 1, 3, 4}, {24, 1, 1, 1}, {1, 2, 2, 3, 2}, {2, 3, 4, 1}};
  for (const Shape& from : shapes)
    for (const Shape& to : shapes) CHECK(same_bits(counting(from).reshape(to), counting(to)));
  CHECK(counting({2, 3, 4}).reshape({-1, 4}).shape() == Shape{6, 4});
  CHECK(error_text<ShapeError>([] { counting({2, 3}).reshape({4, 2}); }) == "reshape: shape 2×3 of 6 elements cannot become 4×2");
  CHECK(error_text<ShapeError>([] { counting({2, 3}).reshape({-1, -1}); }) == "reshape: -1×-1 has more than one -1");
  CHECK(error_text<ShapeError>([] { counting({2, 3}).reshape({-1, 4}); }) == "reshape: shape 2×3 of 6 elements cannot become -1×4");
}

TEST_CASE("slices are views, indexing copies") {
  Tensor x = counting({4, 2, 3, 2});
  Tensor part = x.slice(1, 3);
  CHECK(part.shape() == Shape{2, 2, 3, 2});
  CHECK(part.to_vector<double>().front() == 12);
  part.fill_(-1);
  CHECK(x.to_vector<double>()[12] == -1);
  CHECK(x.to_vector<double>()[11] == 11);
  Tensor one = x[3];
  CHECK(one.shape() == Shape{2, 3, 2});
  CHECK(one.to_vector<double>() == std::vector<double>{36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47});
  one.fill_(7);
  CHECK(x.to_vector<double>()[36] == 36);
  CHECK(error_text<ShapeError>([&] { x.slice(2, 5); }) == "slice: [2, 5) is not a part of the first dimension of shape 4×2×3×2");
  CHECK(error_text<ShapeError>([&] { x[4]; }) == "index 4 is out of range for the first dimension of shape 4×2×3×2");
}

TEST_CASE("conversion between element types") {
  const Tensor x = Tensor::from<double>({-1.75, 0, 2.5, 300}, {4});
  CHECK(x.to(DType::i32).to_vector<std::int32_t>() == std::vector<std::int32_t>{-1, 0, 2, 300});
  CHECK(x.to(DType::f32).to(DType::f64).to_vector<double>() == x.to_vector<double>());
  CHECK(Tensor::full({2}, 200, DType::u8).to(DType::i64).to_vector<std::int64_t>() == std::vector<std::int64_t>{200, 200});
  CHECK(error_text<DTypeError>([&] { x.data<float>(); }) == "Tensor::data: the tensor is f64, asked for as f32; convert it with to()");
}

TEST_CASE("printing") {
  CHECK(Tensor::from<float>({1, 2.5, -3, 4}, {2, 2}).to_string() == "Tensor([[1, 2.5],\n [-3, 4]], f32 2×2)");
  CHECK(Tensor::full({}, 3, DType::i64).to_string() == "Tensor(3, i64 scalar)");
  CHECK(counting({12}).to_string() == "Tensor([0, 1, 2, …, 9, 10, 11], f64 12)");
  CHECK(Tensor::zeros({0, 2}).to_string() == "Tensor([], f32 0×2)");
  CHECK(counting({1, 2, 1, 2}).to_string() == "Tensor([[[[0, 1]],\n  [[2, 3]]]], f64 1×2×1×2)");
}

TEST_CASE("errors of tensors say what was given and what to do") {
  CHECK(error_text<Error>([] { Tensor().shape(); }) == "an undefined tensor was used; give it a value first, for example by Tensor::zeros");
  CHECK(error_text<ShapeError>([] { Tensor::from<float>({1, 2, 3}, {2, 2}); }) == "Tensor::from: 3 values given for shape 2×2, which takes 4");
  CHECK(error_text<ShapeError>([] { Tensor::zeros({2, -1}); }) == "a tensor of shape 2×-1 is not possible: sizes are 0 or more");
  CHECK(error_text<OutOfMemory>([] { Tensor::empty({1 << 30, 1 << 30, 1 << 30}); }) ==
        "a tensor of shape 1073741824×1073741824×1073741824 has more elements than any machine holds");
  CHECK(error_text<ShapeError>([] { Tensor::zeros({2}).item<float>(); }) == "Tensor::item: the tensor has 2 elements (shape 2), expected one");
  CHECK(error_text<ShapeError>([] { Tensor::zeros({2, 3}) + Tensor::zeros({2, 4}); }) ==
        "add: shapes 2×3 and 2×4 do not broadcast: sizes 3 and 4 differ and neither is 1");
  CHECK(error_text<DTypeError>([] { Tensor::zeros({2}) + Tensor::zeros({2}, DType::f64); }) ==
        "add: tensors are f32 and f64, expected one dtype; convert one with to()");
  CHECK(error_text<ShapeError>([] { sum(Tensor::zeros({2, 3}), {2}); }) ==
        "sum: dimension 2 is out of range for a tensor of rank 2; give one of -2 to 1");
  CHECK(error_text<ShapeError>([] { sum(Tensor::zeros({2, 3}), {1, -1}); }) == "sum: dimension 1 is given twice");
  CHECK(error_text<ShapeError>([] { conv2d(Tensor::zeros({1, 8, 14, 14}), Tensor::zeros({4, 16, 3, 3})); }) ==
        "conv2d: expected 16 input channels, got 8 (input 1×8×14×14, weight 4×16×3×3)");
  CHECK(error_text<ShapeError>([] { conv2d(Tensor::zeros({1, 1, 2, 5}), Tensor::zeros({4, 1, 3, 3})); }) ==
        "conv2d: the 3×3 kernel with dilation 1×1 does not fit into the 2×5 image with padding 0×0 (input 1×1×2×5, weight 4×1×3×3)");
  CHECK(error_text<Error>([] { nll_loss(Tensor::zeros({2, 3}), Tensor::from<std::int64_t>({0, 3}, {2})); }) ==
        "nll_loss: target[1] is 3, expected a class from 0 to 2 or ignore_index -100");
  CHECK(error_text<ShapeError>([] {
          Tensor one = Tensor::ones({3});
          batch_norm(Tensor::zeros({1, 3, 1, 1}), one, one, {}, {}, {.training = true});
        }) == "batch_norm: expected more than one value per channel in training, got input 1×3×1×1; use a larger batch, or eval()");
  CHECK(error_text<Error>([] { set_num_threads(0); }) == "set_num_threads: 0 threads asked for; give a number from 1 to 1024");
}

TEST_CASE("empty tensors pass through every kind of op") {
  const Tensor none = Tensor::zeros({0, 3, 4, 4}).set_requires_grad();
  CHECK(relu(none).shape() == Shape{0, 3, 4, 4});
  CHECK(sum(none).item<float>() == 0);
  CHECK(std::isnan(mean(none).item<float>()));
  const Tensor w = Tensor::ones({2, 3, 3, 3}).set_requires_grad();
  const Tensor y = conv2d(none, w);
  CHECK(y.shape() == Shape{0, 2, 2, 2});
  sum(max_pool2d(y)).backward();
  CHECK(largest(w.grad()) == 0);
  CHECK(linear(Tensor::zeros({0, 5}), Tensor::ones({2, 5})).shape() == Shape{0, 2});
  CHECK(log_softmax(Tensor::zeros({0, 5}), 1).shape() == Shape{0, 5});
}

TEST_CASE("batch statistics far from zero lose no precision") {
  // Values 1e4 + {0 … 1}: the variance is that of the fractions, which E[x²] − E[x]² in f32 would lose wholly.
  const std::int64_t n = 4096;
  std::vector<float> v(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) v[static_cast<std::size_t>(i)] = 1e4F + static_cast<float>(i % 64) / 64;
  Tensor one = Tensor::ones({1}), zero = Tensor::zeros({1}), mean = Tensor::zeros({1}), variance = Tensor::ones({1});
  batch_norm(Tensor::from<float>(v, {n, 1}), one, zero, mean, variance, {.training = true, .momentum = 1});
  const double expected = (64.0 * 64 - 1) / 12 / (64 * 64) * static_cast<double>(n) / static_cast<double>(n - 1);
  CHECK(static_cast<double>(variance.item<float>()) == Approx(expected).epsilon(1e-6));
}

TEST_CASE("the allocator hands freed memory out again, and counts") {
  release_host_cache();
  const std::size_t before = host_memory_stats().current;
  {
    const Tensor a = Tensor::empty({1000});
    CHECK(host_memory_stats().current >= before + 4000);
    CHECK(reinterpret_cast<std::uintptr_t>(a.raw_data()) % 64 == 0);
  }
  CHECK(host_memory_stats().current == before);
  for (int i = 0; i < 100; ++i) Tensor::empty({1000});
  CHECK(host_memory_stats().reserved < before + 100 * 4000);
  release_host_cache();
  CHECK(host_memory_stats().reserved == host_memory_stats().current);
}

TEST_CASE("Philox equals the published vectors") {
  using kernels::RandomBlock;
  // Random123 1.14, kat_vectors, philox4x32 10 rounds.
  CHECK(kernels::philox_rounds({0, 0, 0, 0}, 0, 0) == RandomBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(kernels::philox_rounds({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffff, 0xffffffff) ==
        RandomBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(kernels::philox_rounds({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0) ==
        RandomBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("random numbers do not depend on the thread count; streams and steps differ") {
  const int threads = num_threads();
  const auto drawn = [](const RandomKey& key) {
    Tensor x = Tensor::empty({100003});
    uniform_(x, -1, 1, key);
    return x;
  };
  set_num_threads(1);
  const Tensor one = drawn(random_key("a"));
  const Tensor masked = dropout(one, 0.3, true, random_key("b"));
  set_num_threads(3);
  CHECK(same_bits(drawn(random_key("a")), one));
  CHECK(same_bits(dropout(one, 0.3, true, random_key("b")), masked));
  set_num_threads(threads);
  CHECK(!same_bits(drawn(random_key("c")), one));
  CHECK(!same_bits(drawn(random_key("a", 1)), one));
  const double kept = mean(one).to(DType::f64).item<double>();
  CHECK(std::abs(kept) < 0.01);  // 100003 numbers of σ 0.58: five sigma
  CHECK(largest(one) <= 1);
  std::vector<std::int64_t> order = random_permutation(1000, random_key("p"));
  CHECK(order != random_permutation(1000, random_key("p", 1)));
  std::sort(order.begin(), order.end());
  for (std::int64_t i = 0; i < 1000; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
}

TEST_CASE("dropout keeps 1 − p of its input, scaled, and its gradient has the same mask") {
  Tensor x = Tensor::ones({50, 3, 17, 19}).set_requires_grad();
  const Tensor y = dropout(x, 0.3, true, random_key("d"));
  std::int64_t kept = 0;
  for (const float v : y.to_vector<float>()) {
    CHECK((v == 0 || v == 1 / 0.7F));
    kept += v != 0;
  }
  CHECK(std::abs(static_cast<double>(kept) / static_cast<double>(x.numel()) - 0.7) < 0.011);  // five sigma
  sum(y).backward();
  CHECK(same_bits(x.grad(), y.detach()));
  CHECK(same_bits(dropout(x, 0.3, false, random_key("d")), x));
  CHECK(largest(dropout(x, 1, true, random_key("d"))) == 0);
  CHECK(error_text<Error>([&] { dropout(x, 1.5, true, {}); }) == "dropout: expected a probability from 0 to 1, got 1.5");
}
