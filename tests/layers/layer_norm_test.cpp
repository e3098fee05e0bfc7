#include "../catch.h"
#include "../compare.h"

#include <mica/core/error.h>
#include <mica/core/ops.h>
#include <mica/core/random.h>
#include <mica/layers/layers.h>

using namespace mica;
using namespace mica::test;

namespace {

std::vector<std::string> keys_of(Module& module) {
  std::vector<std::string> keys;
  for (const auto& [key, tensor] : module.state_dict()) keys.push_back(key);
  return keys;
}

}  // namespace

TEST_CASE("LayerNorm is its op, with PyTorch's parameters") {
  Tensor x = Tensor::empty({3, 2, 5, 4});
  uniform_(x, -1, 3, random_key("x"));
  LayerNorm whole({2, 5, 4}), last(4, {.eps = 1e-2}), unbiased(4, {.bias = false}), plain(4, {.elementwise_affine = false});
  CHECK(keys_of(whole) == std::vector<std::string>{"weight", "bias"});
  CHECK(keys_of(unbiased) == std::vector<std::string>{"weight"});
  CHECK(keys_of(plain).empty());
  CHECK(whole.weight.shape() == Shape{2, 5, 4});
  CHECK(same_bits(whole.weight.detach(), Tensor::ones({2, 5, 4})));
  CHECK(same_bits(whole.bias.detach(), Tensor::zeros({2, 5, 4})));
  for (LayerNorm* norm : {&whole, &last, &unbiased, &plain})
    for (const Tensor& p : norm->parameters()) {
      Tensor values = p.detach();
      uniform_(values, -1, 1, random_key("p"));
    }
  CHECK(same_bits(whole(x).detach(), layer_norm(x, {2, 5, 4}, whole.weight, whole.bias, 1e-5).detach()));
  CHECK(same_bits(last(x).detach(), layer_norm(x, {4}, last.weight, last.bias, 1e-2).detach()));
  CHECK(same_bits(unbiased(x).detach(), layer_norm(x, {4}, unbiased.weight, {}, 1e-5).detach()));
  CHECK(same_bits(plain(x), layer_norm(x, {4})));
  sum(whole(x) * x).backward();
  CHECK(largest(whole.weight.grad()) > 0);
  CHECK(largest(whole.bias.grad()) > 0);
}

TEST_CASE("LayerNorm in a network: summary, path, refusals") {
  Sequential net;
  net.add("fc", Linear(6, 4)).add("norm", LayerNorm(4));
  const std::string text = summary(net, {3, 6});
  CHECK(text.find("norm (LayerNorm)") != std::string::npos);
  CHECK(text.find("Parameters: 36 (all trainable)\nMult-adds: 108\n") != std::string::npos);  // (28 + 8) · 3
  Sequential wrong;
  wrong.add("norm", LayerNorm(5));
  CHECK(error_text<ShapeError>([&] { wrong(Tensor::zeros({2, 4})); }) ==
        "norm: layer_norm: expected an input whose last dimensions are 5, got 2×4");
  CHECK(error_text<ShapeError>([] { LayerNorm(Shape{}); }) ==
        "LayerNorm: expected a normalized_shape of one size or more, each 1 or more, got scalar");
  CHECK(error_text<ShapeError>([] { LayerNorm({3, 0}); }) ==
        "LayerNorm: expected a normalized_shape of one size or more, each 1 or more, got 3×0");
}
