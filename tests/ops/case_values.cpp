// From a case's line to its values, and back to the line.
#include "case_file.h"
#include "case_table.h"

#include <mica/core/autograd.h>
#include <mica/core/error.h>
#include <mica/core/random.h>

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace mica::test {
namespace {

using nlohmann::json;

const std::vector<std::pair<Fill, std::string>> fills{
    {Fill::distinct, "distinct"}, {Fill::positive, "positive"}, {Fill::integers, "integers"}, {Fill::special, "special"},
    {Fill::classes, "classes"},   {Fill::indices, "indices"},   {Fill::probabilities, "probabilities"}};

std::vector<double> special_values() {
  constexpr double infinity = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  return {infinity, -infinity, nan, 0.0, -0.0, 1e-310, -1e-310, 1e20, -1e25, 1.0, -1.0, 0.5, -2.0, 1e-20, 3.0};
}

// Values in (−1, 1), evenly spaced and shuffled; none at a multiple of 1/8.
std::vector<double> distinct(std::int64_t n, const RandomKey& key) {
  std::vector<double> values;
  for (const std::int64_t place : random_permutation(n, key)) values.push_back((static_cast<double>(place) + 0.31) / static_cast<double>(n) * 2 - 1);
  return values;
}

template <class T>
Tensor integers(const Shape& shape, const RandomKey& key, std::int64_t low, std::int64_t high) {
  std::vector<T> values;
  for (std::int64_t i = 0; i < numel(shape); ++i)
    values.push_back(static_cast<T>(low + kernels::random_bits(key, static_cast<std::uint64_t>(i)) % (high - low + 1)));
  return Tensor::from<T>(values, shape);
}

Tensor make(const ArgumentSpec& spec, const RandomKey& key) {
  const std::int64_t n = numel(spec.shape);
  switch (spec.fill) {
    case Fill::classes:
    case Fill::indices: return integers<std::int64_t>(spec.shape, key, 0, std::max<std::int64_t>(spec.below, 1) - 1);
    case Fill::integers: return integers<double>(spec.shape, key, -3, 3);
    case Fill::special: {
      const std::vector<double> known = special_values();
      std::vector<double> values;
      for (std::int64_t i = 0; i < n; ++i) values.push_back(known[kernels::random_bits(key, static_cast<std::uint64_t>(i)) % known.size()]);
      return Tensor::from<double>(values, spec.shape);
    }
    case Fill::positive: return Tensor::from<double>(distinct(n, key), spec.shape) * 1.95 + 2.05;
    case Fill::probabilities: return softmax(Tensor::from<double>(distinct(n, key), spec.shape), 1);
    case Fill::distinct: break;
  }
  return Tensor::from<double>(distinct(n, key), spec.shape) * 2;
}

// Of the line and the argument, whatever the seed.
RandomKey key_of(const OpCase& c, const std::string& argument) {
  RandomKey key = random_key(c.line() + argument);
  key.seed = 0;
  return key;
}

}  // namespace

bool OpCase::has(Fill fill) const {
  return std::any_of(specs.begin(), specs.end(), [=](const auto& spec) { return spec.second.fill == fill; });
}

std::string OpCase::line() const {
  json all = attributes;
  for (const auto& [name, spec] : specs) {
    json& argument = all["arguments"][name];
    argument["shape"] = spec.shape;
    const auto fill = std::find_if(fills.begin(), fills.end(), [wanted = spec.fill](const auto& known) { return known.first == wanted; });
    if (spec.fill != Fill::distinct) argument["fill"] = fill->second;
    if (spec.below > 0) argument["below"] = spec.below;
  }
  return all.dump();
}

OpCase parse_case(const std::string& line) try {
  OpCase c{"case", json::parse(line), {}};
  for (const auto& [name, argument] : c.attributes.at("arguments").items()) {
    ArgumentSpec& spec = c.specs[name];
    spec.shape = argument.at("shape").get<Shape>();
    spec.below = argument.value("below", std::int64_t{0});
    const std::string fill = argument.value("fill", "distinct");
    const auto known = std::find_if(fills.begin(), fills.end(), [&](const auto& one) { return one.second == fill; });
    if (known == fills.end()) throw Error(fmt::format("'{}' is no way to fill an argument", fill));
    spec.fill = known->first;
  }
  c.attributes.erase("arguments");
  return c;
} catch (const json::exception& error) {
  throw Error(fmt::format("'{}' is not a case: {}", line, error.what()));
}

Arguments OpCase::arguments() const {
  Arguments values;
  for (const auto& [name, spec] : specs) values[name] = make(spec, key_of(*this, name));
  return values;
}

Outputs OpCase::grad_outputs() const {
  const NoGrad no_grad;
  Outputs gradients;
  for (const auto& [name, y] : call_op(arguments(), attributes))
    if (is_floating(y.dtype()))
      gradients[name] = make({y.shape(), has(Fill::integers) ? Fill::integers : Fill::distinct, 0}, key_of(*this, "grad_" + name));
  return gradients;
}

Safetensors table_as_file() {
  Safetensors file;
  for (const OpCase& c : case_table()) {
    file.metadata[c.id] = c.attributes.dump();
    file.metadata["line " + c.id] = c.line();
    for (const auto& [name, x] : c.arguments()) file.tensors.emplace_back(c.id + "." + name, x);
    for (const auto& [name, x] : c.grad_outputs()) file.tensors.emplace_back(c.id + ".grad_" + name, x);
  }
  return file;
}

}  // namespace mica::test
