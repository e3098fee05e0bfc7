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
  std::exit(2);
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
  return options;
}

}  // namespace emulator
