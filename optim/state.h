// States of optimizers, schedules and averages: names → tensors, as a checkpoint holds them. Loading takes on all of a state or,
// with an Error that names the key, nothing.
#pragma once

#include <mica/core/tensor.h>

#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace mica {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

// The tensors of a state by key: each is taken once, and what is left was not expected.
class StateKeys {
 public:
  StateKeys(const char* kind, const NamedTensors& state) : kind_(kind), tensors_(state.begin(), state.end()) {}  // kind: "optimizer"

  bool has(const std::string& key) const { return tensors_.count(key) > 0; }
  Tensor take(const std::string& key, const Shape& shape, DType dtype, Device device = {});  // a copy
  void expect_none() const;

 private:
  [[noreturn]] void refuse(const std::string& why) const;

  const char* kind_;
  std::map<std::string, Tensor> tensors_;
};

// The numbers that an object names for its state: i64 and f64 scalars, and vectors of f64, whose length stays.
class StateNumbers {
 public:
  void operator()(const std::string& key, std::int64_t& number) { add(key, &number); }
  void operator()(const std::string& key, double& number) { add(key, &number); }
  void operator()(const std::string& key, std::vector<double>& numbers) { add(key, &numbers); }
  std::string prefix;  // of the keys that follow

  NamedTensors state() const;
  void load(const char* kind, const NamedTensors& state) const;

 private:
  using Place = std::variant<std::int64_t*, double*, std::vector<double>*>;
  void add(const std::string& key, Place place);

  std::vector<std::pair<std::string, Place>> places_;
};

}  // namespace mica
