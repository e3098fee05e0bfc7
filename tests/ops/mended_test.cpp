// Faults that were found once and mended, each with the call that showed it.
#include "../catch.h"
#include "../compare.h"
#include "../scratch_folder.h"

#include <mica/core/autograd.h>
#include <mica/core/error.h>
#include <mica/core/ops.h>
#include <mica/core/safetensors.h>
#include <mica/optim/sgd.h>

#include <cmath>
#include <filesystem>

using namespace mica;
using namespace mica::test;

TEST_CASE("parts of one split may run backward one by one") {
  const Tensor x = Tensor::ones({4}).set_requires_grad();
  const std::vector<Tensor> parts = split(x, 2);
  sum(parts[0]).backward();
  sum(parts[1] * 3).backward();
  CHECK(values(x.grad()) == std::vector<double>{1, 1, 3, 3});
}

TEST_CASE("smoothing over no classes is NaN or nothing, not a crash") {
  const Tensor target = Tensor::full({2}, -100, DType::i64);
  CHECK(std::isnan(cross_entropy(Tensor::zeros({2, 0}), target, {.label_smoothing = 0.1}).item<float>()));
}

TEST_CASE("clamp to a bound that is NaN is NaN") {
  const double nan = std::nan("");
  for (const double v : values(clamp(Tensor::from<float>({-1, 0, 2}, {3}), nan, 1))) CHECK(std::isnan(v));
}

TEST_CASE("an infinite parameter stays, where neither gradient nor decay moves it") {
  const Tensor p = Tensor::full({3}, INFINITY).set_requires_grad();
  Sgd sgd({p}, {.lr = 0.1, .momentum = 0.9});
  p.set_grad(Tensor::zeros({3}));
  sgd.step();
  CHECK(values(p.detach()) == std::vector<double>(3, INFINITY));
}

TEST_CASE("weights that could not be read again are not written") {
  const ScratchFolder folder;
  const std::filesystem::path path = folder.path / "weights.safetensors";
  const Tensor x = Tensor::ones({2});
  const auto refusal = [&](const Safetensors& content) { return error_text<FileError>([&] { save_safetensors(path, content); }); };
  CHECK(refusal({{{"a", x}, {"a", x}}, {}}) == path.string() + " cannot be written: the tensor 'a' is there twice");
  CHECK(refusal({{{"__metadata__", x}}, {}}) ==
        path.string() + " cannot be written: a tensor is named __metadata__, which is not a tensor's name in the format");
  CHECK(refusal({{{"a", Tensor()}}, {}}) == path.string() + " cannot be written: the tensor 'a' is undefined");
  CHECK(refusal({{{"\xff", x}}, {}}).find("is not UTF-8") != std::string::npos);
  CHECK(!std::filesystem::exists(path));
}
