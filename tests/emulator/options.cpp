#include "options.h"

#include "report.h"

#include <cstdlib>
#include <optional>
#include <string>

namespace emulator {
namespace {

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  return value && *value ? std::optional<std::string>(value) : std::nullopt;
}

[[noreturn]] void refuse(const char* name, const std::string& value, const char* expected) {
  report("%s=%s: expected %s", name, value.c_str(), expected);
  std::fflush(nullptr), std::_Exit(2);  // the runtime, which the report at the end asks, is not there yet
}

std::optional<unsigned long> whole_number(const std::string& text) {
  if (text.empty() || text.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  return std::strtoul(text.c_str(), nullptr, 10);
}

// The seed of random:<seed>.
std::optional<unsigned> seed_of(const std::string& value) {
  if (!value.starts_with("random:")) return std::nullopt;
  const auto seed = whole_number(value.substr(7));
  return seed ? std::optional<unsigned>(static_cast<unsigned>(*seed)) : std::nullopt;
}

cudaError_t error_named(const std::string& name) {
  for (int code = 1; code < 1000; ++code)
    if (name == cudaGetErrorName(static_cast<cudaError_t>(code))) return static_cast<cudaError_t>(code);
  return cudaSuccess;
}

// <kind>:<n>:<error> or <kind>:<n>+:<error>
std::optional<Fault> fault_of(const std::string& value) {
  const std::size_t first = value.find(':'), second = value.find(':', first + 1);
  if (first == std::string::npos || second == std::string::npos) return std::nullopt;
  std::string number = value.substr(first + 1, second - first - 1);
  const bool ever_after = number.ends_with('+');
  if (ever_after) number.pop_back();
  const auto nth = whole_number(number);
  const cudaError_t error = error_named(value.substr(second + 1));
  for (int kind = 0; kind < call_kinds; ++kind)
    if (nth && *nth > 0 && error && value.substr(0, first) == name_of(static_cast<Call>(kind)))
      return Fault{static_cast<Call>(kind), static_cast<int>(*nth), ever_after, error};
  return std::nullopt;
}

}  // namespace

Options options_from_environment() {
  Options options;
  if (const auto value = variable("EMULATOR_SCHEDULE")) {
    const auto seed = seed_of(*value);
    if (!seed && *value != "lazy" && *value != "eager") refuse("EMULATOR_SCHEDULE", *value, "lazy, eager or random:<seed>");
    options.schedule = seed ? Schedule::random : *value == "eager" ? Schedule::eager : Schedule::lazy;
    options.schedule_seed = seed.value_or(1);
  }
  if (const auto value = variable("EMULATOR_ORDER")) {
    const auto seed = seed_of(*value);
    if (!seed && *value != "forward" && *value != "reverse") refuse("EMULATOR_ORDER", *value, "forward, reverse or random:<seed>");
    options.order = seed ? Order::random : *value == "reverse" ? Order::reverse : Order::forward;
    options.order_seed = seed.value_or(1);
  }
  if (const auto value = variable("EMULATOR_RERUN")) {
    if (*value != "0" && *value != "1") refuse("EMULATOR_RERUN", *value, "0 or 1");
    options.rerun = *value == "1";
  }
  if (const auto value = variable("EMULATOR_DEVICE_BYTES")) {
    const auto bytes = whole_number(*value);
    if (!bytes) refuse("EMULATOR_DEVICE_BYTES", *value, "a number of bytes");
    options.device_bytes = *bytes;
  }
  if (const auto value = variable("EMULATOR_FAIL")) {
    options.fault = fault_of(*value);
    if (!options.fault) refuse("EMULATOR_FAIL", *value, "a kind of calls, a number and an error, as in launch:120+:cudaErrorIllegalAddress");
  }
  if (const auto value = variable("EMULATOR_COUNT")) {
    if (*value != "0" && *value != "1") refuse("EMULATOR_COUNT", *value, "0 or 1");
    options.count = *value == "1";
  }
  return options;
}

}  // namespace emulator
