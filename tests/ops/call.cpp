#include "call.h"

#include <mica/core/error.h>
#include <mica/core/nearest.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

namespace mica::test {

using nlohmann::json;

Call::Call(const Arguments& arguments, const Attributes& attributes) : arguments_(arguments), attributes_(attributes) {
  if (!attributes.is_object() || !attributes.contains("op") || !attributes["op"].is_string())
    throw Error("a case is a JSON object with \"op\", the name of an op, got " + attributes.dump());
  op_ = attributes["op"];
}

void Call::fail(const std::string& what) const { throw Error(op_ + ": " + what); }
void Call::missing(const char* kind, const std::string& name) const { fail(fmt::format("{} '{}' is missing", kind, name)); }

const json* Call::find(const std::string& name) {
  asked_.insert(name);
  const auto found = attributes_.find(name);
  return found == attributes_.end() || found->is_null() ? nullptr : &*found;
}

Tensor Call::optional(const std::string& argument) {
  asked_.insert(argument);
  const auto found = arguments_.find(argument);
  return found == arguments_.end() ? Tensor() : found->second;
}

Tensor Call::tensor(const std::string& argument) {
  Tensor x = optional(argument);
  if (!x.defined()) missing("argument", argument);
  return x;
}

Tensor Call::tensor_or_number(const std::string& name) {
  if (find(name)) return scalar_like(number(name), tensor("input"));
  return tensor(name);
}

std::vector<Tensor> Call::tensors(const std::string& argument) {
  std::vector<Tensor> all;
  for (std::string name = argument + ".0"; has(name); name = argument + "." + std::to_string(all.size())) all.push_back(tensor(name));
  return all;
}

std::int64_t Call::whole(const std::string& name, const json& value) const {
  const bool huge = value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!value.is_number_integer() || huge) fail(fmt::format("attribute '{}' is {}, expected a whole number", name, value.dump()));
  return value.get<std::int64_t>();
}

int Call::dimension(const std::string& name, std::int64_t value) const {
  if (value < std::numeric_limits<int>::min() || value > std::numeric_limits<int>::max())
    fail(fmt::format("attribute '{}' is {}, expected a dimension", name, value));
  return static_cast<int>(value);
}

std::optional<double> Call::maybe_number(const std::string& name) {
  const json* value = find(name);
  if (!value) return {};
  if (!value->is_number()) fail(fmt::format("attribute '{}' is {}, expected a number", name, value->dump()));
  return value->get<double>();
}

std::optional<std::int64_t> Call::maybe_integer(const std::string& name) {
  const json* value = find(name);
  return value ? std::optional(whole(name, *value)) : std::nullopt;
}

double Call::number(const std::string& name, std::optional<double> otherwise) {
  const std::optional<double> value = maybe_number(name);
  if (!value && !otherwise) missing("attribute", name);
  return value ? *value : *otherwise;
}

std::int64_t Call::integer(const std::string& name, std::optional<std::int64_t> otherwise) {
  const std::optional<std::int64_t> value = maybe_integer(name);
  if (!value && !otherwise) missing("attribute", name);
  return value ? *value : *otherwise;
}

bool Call::flag(const std::string& name, bool otherwise) {
  const json* value = find(name);
  if (value && !value->is_boolean()) fail(fmt::format("attribute '{}' is {}, expected true or false", name, value->dump()));
  return value ? value->get<bool>() : otherwise;
}

bool Call::is_text(const std::string& name) const { return attributes_.contains(name) && attributes_[name].is_string(); }

bool Call::is_list(const std::string& name) const { return attributes_.contains(name) && attributes_[name].is_array(); }

std::string Call::text(const std::string& name, const std::string& otherwise) {
  const json* value = find(name);
  if (value && !value->is_string()) fail(fmt::format("attribute '{}' is {}, expected a word", name, value->dump()));
  return value ? value->get<std::string>() : otherwise;
}

std::vector<std::int64_t> Call::integers(const std::string& name) {
  const json* value = find(name);
  if (!value) return {};
  if (!value->is_array()) return {whole(name, *value)};
  std::vector<std::int64_t> all;
  for (const json& one : *value) all.push_back(whole(name, one));
  return all;
}

std::optional<Pair> Call::maybe_pair(const std::string& name) {
  const std::vector<std::int64_t> all = integers(name);
  if (all.empty()) return {};
  if (all.size() > 2) fail(fmt::format("attribute '{}' has {} numbers, expected one, or two along H and W", name, all.size()));
  return Pair{all.front(), all.back()};
}

Pair Call::pair(const std::string& name, std::optional<Pair> otherwise) {
  const std::optional<Pair> value = maybe_pair(name);
  if (!value && !otherwise) missing("attribute", name);
  return value ? *value : *otherwise;
}

std::array<std::optional<std::int64_t>, 2> Call::maybe_sizes(const std::string& name) {
  const json* value = find(name);
  if (!value) missing("attribute", name);
  if (!value->is_array()) return {whole(name, *value), whole(name, *value)};
  std::array<std::optional<std::int64_t>, 2> sizes;
  if (value->size() != 1 && value->size() != 2) fail(fmt::format("attribute '{}' has {} sizes, expected one or two", name, value->size()));
  for (std::size_t i = 0; i < 2; ++i) {
    const json& one = (*value)[std::min(i, value->size() - 1)];
    if (!one.is_null()) sizes[i] = whole(name, one);
  }
  return sizes;
}

void Call::finish() const {
  const std::vector<std::string> known(asked_.begin(), asked_.end());
  const auto refuse = [&](const char* kind, const std::string& name) {
    const std::string near = nearest_name(name, known);
    fail(fmt::format("{} '{}' is not known{}; it takes {}", kind, name, near.empty() ? "" : ", did you mean '" + near + "'?", fmt::join(known, ", ")));
  };
  for (const auto& [name, value] : attributes_.items())
    if (name != "op" && asked_.count(name) == 0) refuse("attribute", name);
  for (const auto& [name, value] : arguments_)
    if (asked_.count(name) == 0) refuse("argument", name);
}

}  // namespace mica::test
