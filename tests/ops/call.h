// One call of an op of the table: named arguments and attributes, as torch.nn.functional names them, and what came out.
#pragma once

#include <mica/core/ops.h>

#include <nlohmann/json.hpp>

#include <map>
#include <set>
#include <string>

namespace mica::test {

using Arguments = std::map<std::string, Tensor>;  // absent ones are not there; lists are tensors.0, tensors.1, …
using Attributes = nlohmann::json;                // {"op": "conv2d", "stride": [2, 1], …}; null counts as absent

// What an op gives: "output"; or "output.0", "output.1", …; or "output" and "indices".
struct Outputs : std::map<std::string, Tensor> {
  Outputs() = default;
  Outputs(const Tensor& y) { (*this)["output"] = y; }
  Outputs(const ValuesAndIndices& y) { (*this)["output"] = y.values, (*this)["indices"] = y.indices; }
  Outputs(const std::vector<Tensor>& parts) {
    for (std::size_t i = 0; i < parts.size(); ++i) (*this)["output." + std::to_string(i)] = parts[i];
  }
};

// Hands an op its arguments and attributes, and knows which were asked for. Errors name the op and what is wrong.
class Call {
 public:
  Call(const Arguments& arguments, const Attributes& attributes);

  const std::string& op() const { return op_; }
  bool has(const std::string& argument) const { return arguments_.count(argument) == 1; }
  Tensor tensor(const std::string& argument);                 // must be there
  Tensor optional(const std::string& argument);               // undefined where absent
  Tensor tensor_or_number(const std::string& name);           // an argument, or an attribute that is a number
  std::vector<Tensor> tensors(const std::string& argument);   // argument.0, argument.1, …

  double number(const std::string& name, std::optional<double> otherwise = {});
  std::optional<double> maybe_number(const std::string& name);
  std::int64_t integer(const std::string& name, std::optional<std::int64_t> otherwise = {});
  std::optional<std::int64_t> maybe_integer(const std::string& name);
  int dimension(const std::string& name, std::int64_t value) const;  // as an int, or an error
  bool flag(const std::string& name, bool otherwise);
  std::string text(const std::string& name, const std::string& otherwise);
  bool is_text(const std::string& name) const;
  bool is_list(const std::string& name) const;
  std::vector<std::int64_t> integers(const std::string& name);  // one or several; none where absent
  Pair pair(const std::string& name, std::optional<Pair> otherwise = {});
  std::optional<Pair> maybe_pair(const std::string& name);
  std::array<std::optional<std::int64_t>, 2> maybe_sizes(const std::string& name);  // a number, or two that may be null

  void finish() const;  // throws Error where something was given that was not asked for

 private:
  const nlohmann::json* find(const std::string& name);
  [[noreturn]] void fail(const std::string& what) const;
  [[noreturn]] void missing(const char* kind, const std::string& name) const;
  std::int64_t whole(const std::string& name, const nlohmann::json& value) const;

  std::string op_;
  const Arguments& arguments_;
  const Attributes& attributes_;
  std::set<std::string> asked_;
};

}  // namespace mica::test
