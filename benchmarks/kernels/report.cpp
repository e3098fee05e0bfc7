#include "report.h"

#include <mica/core/file.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace mica::bench {
namespace {

using Json = nlohmann::ordered_json;

// The time that a case is judged by: cold, or warm where there are no buffers to go around.
const std::optional<Timing>& judged(const Measured& m) { return m.cold ? m.cold : m.warm; }

std::string significant(double x) {
  const int decimals = x >= 99.95 ? 0 : x >= 9.995 ? 1 : 2;
  return fmt::format("{:.{}f}", x, decimals);
}
// Did calls take so little that their launches, and not their kernels, may be what was timed?
bool launch_bound(const Report& report, const Timing& t) {
  return t.median < 2e6 * (t.graph ? report.ceilings->graph_launch : report.ceilings->launch);
}

std::string time_text(const Report& report, const std::optional<Timing>& t) {
  if (!t) return "–";
  return fmt::format("{} ({} to {}){}{}{}{}", significant(t->median), significant(t->low), significant(t->high), t->disturbed ? "*" : "",
                     t->graph ? " graph" : "", launch_bound(report, *t) ? " launch-bound" : "",
                     t->repeats < report.options.repeats ? fmt::format(" {} repeats", t->repeats) : "");
}

double percent(const Report& report, const CaseResult& c, const Measured& m, const Timing& t) {
  return 100 * report.ceilings->floor(c.bytes, c.flops, m.products) * 1e6 / t.median;
}

void print_row(const Report& report, const CaseResult& c, const Measured& m) {
  const std::string name = c.family + "/" + c.name;
  if (!m.skipped.empty()) return fmt::print("| {} | {} | not run: {} | | | | | |\n", name, m.implementation, m.skipped);
  if (!m.failed.empty()) return fmt::print("| {} | {} | failed: {} | | | | | |\n", name, m.implementation, m.failed);
  if (!m.valid) return fmt::print("| {} | {} | wrong by {:.2g} | | | | | |\n", name, m.implementation, m.error);
  const std::optional<Timing>& t = judged(m);
  if (!t) return fmt::print("| {} | {} | right within {:.1g} | | | | | |\n", name, m.implementation, m.error);
  const std::optional<Timing>& ours = judged(c.measured.front());
  fmt::print("| {} | {} | {} | {} | {} | {} | {:.0f} % {} | {} |\n", name, m.implementation, time_text(report, m.cold), time_text(report, m.warm),
             significant(c.bytes / t->median * 1e-3), c.flops > 0 ? significant(c.flops / t->median * 1e-3) : "–", percent(report, c, m, *t),
             report.ceilings->binding(c.bytes, c.flops, m.products), ours ? significant(t->median / ours->median) : "–");
}

Json to_json(const Report& report, const CaseResult& c, const Measured& m, const Timing& t) {
  return {{"median_us", t.median}, {"low_us", t.low}, {"high_us", t.high}, {"min_us", t.least}, {"max_us", t.most},
          {"repeats", t.repeats}, {"calls", t.calls}, {"graph", t.graph}, {"launch_bound", launch_bound(report, t)}, {"disturbed", t.disturbed}, {"gb_s", c.bytes / t.median * 1e-3},
          {"gflop_s", c.flops / t.median * 1e-3}, {"percent_of_ceiling", percent(report, c, m, t)},
          {"ceiling", report.ceilings->binding(c.bytes, c.flops, m.products)}};
}

Json to_json(const Report& report, const CaseResult& c, const Measured& m, bool with_times) {
  Json json{{"name", m.implementation}};
  if (!m.skipped.empty()) return json["skipped"] = m.skipped, json;
  json["valid"] = m.valid;
  json["error"] = m.failed.empty() && std::isfinite(m.error) ? Json(m.error) : Json(nullptr);
  json["bound"] = m.bound;
  const auto timing = [&](const std::optional<Timing>& t) { return t && with_times ? to_json(report, c, m, *t) : Json(nullptr); };
  json["cold"] = timing(m.cold);
  json["warm"] = timing(m.warm);
  return json;
}

// What was thrown in a case.
std::string failures(const CaseResult& c) {
  std::string text = c.failed;
  for (const Measured& m : c.measured)
    if (!m.failed.empty()) text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", m.implementation, m.failed);
  return text;
}

}  // namespace

void print_table(const Report& report, const Machine& machine) {
  fmt::print("{}: {} ({}), {}, commit {}, {}\n", machine.device, machine.name, machine.about,
             machine.threads ? fmt::format("{} threads, {:.0f} MHz", machine.threads, machine.clock_mhz)
                             : fmt::format("{:.0f} MHz", machine.clock_mhz),
             commit(), date());
  if (machine.emulated) fmt::print("An emulated device: its times say nothing and are left out.\n");
  if (report.ceilings && !machine.emulated) {
    fmt::print("Ceilings of this run: copy {:.1f} GB/s (read and written), multiply-adds {:.0f} GFLOP/s{}{}; last cache {} MiB.\n",
               report.ceilings->copy_bandwidth * 1e-9, report.ceilings->flops * 1e-9,
               report.ceilings->tf32_flops > 0 ? fmt::format(", tensor cores in TF32 {:.0f} GFLOP/s", report.ceilings->tf32_flops * 1e-9) : "",
               report.ceilings->launch > 0 ? fmt::format(", launch to launch {:.2f} µs, in a graph {:.2f} µs", report.ceilings->launch * 1e6, report.ceilings->graph_launch * 1e6) : "",
               machine.cache_bytes >> 20);
    fmt::print("It took {:.0f} s, in which other programs took a processor {} times. *: also while this was timed, again and again.\n",
               report.seconds, report.involuntary_switches);
    if (report.ceilings->launch > 0)
      fmt::print("graph: replayed as a CUDA graph. launch-bound: in less than two launches of its kind, which then may be what was timed.\n");
  }
  fmt::print("\n| case | by | cold, µs (quartiles) | warm, µs (quartiles) | GB/s | GFLOP/s | of the ceiling | times ours |\n"
             "|---|---|---|---|---|---|---|---|\n");
  for (CaseResult c : report.cases) {
    for (Measured& m : c.measured) {
      if (machine.emulated) m.cold.reset(), m.warm.reset();
      print_row(report, c, m);
    }
    if (!c.failed.empty()) fmt::print("| {}/{} | | failed: {} | | | | | |\n", c.family, c.name, c.failed);
  }
}

void print_list(const Report& report) {
  for (const CaseResult& c : report.cases) {
    fmt::print("{}/{}  {:.6g} bytes, {:.6g} FLOP:", c.family, c.name, c.bytes, c.flops);
    for (const Measured& m : c.measured) fmt::print(" {}", m.implementation);
    fmt::print("\n");
  }
}

void print_roofline(const Report& report) {
  // NVIDIA's data sheet of the H200: 4.8 TB/s, 67 TFLOP/s in f32 outside of tensor cores.
  constexpr double bandwidth = 4.8e12, flops = 67e12;
  fmt::print("Static figures, by formula, against the H200's data sheet (4.8 TB/s, 67 TFLOP/s f32, ridge at {:.1f} FLOP/byte). No times.\n\n",
             flops / bandwidth);
  fmt::print("| case | bytes | FLOP | FLOP/byte | bound by | attainable f32 GFLOP/s |\n|---|---|---|---|---|---|\n");
  for (const CaseResult& c : report.cases) {
    const double intensity = c.flops / c.bytes;
    fmt::print("| {}/{} | {:.0f} | {:.0f} | {:.2f} | {} | {} |\n", c.family, c.name, c.bytes, c.flops, intensity,
               intensity < flops / bandwidth ? "bytes" : "multiply-adds",
               c.flops > 0 ? fmt::format("{:.0f}", std::min(flops, intensity * bandwidth) * 1e-9) : "–");
  }
}

void write_json(const Report& report, const Machine& machine) {
  Json cases = Json::array();
  for (const CaseResult& c : report.cases) {
    Json implementations = Json::array();
    for (const Measured& m : c.measured) implementations.push_back(to_json(report, c, m, !machine.emulated));
    Json json{{"family", c.family}, {"name", c.name}, {"bytes", c.bytes}, {"flops", c.flops}};
    if (const std::string text = failures(c); !text.empty()) json["error"] = text;
    json["implementations"] = implementations;
    cases.push_back(json);
  }
  const auto or_null = [](double value) { return value > 0 ? Json(value) : Json(nullptr); };
  Json ceilings = nullptr;
  if (report.ceilings && !machine.emulated)
    ceilings = {{"copy_gb_s", report.ceilings->copy_bandwidth * 1e-9}, {"fma_gflop_s", report.ceilings->flops * 1e-9},
                {"tf32_gflop_s", or_null(report.ceilings->tf32_flops * 1e-9)}, {"launch_us", or_null(report.ceilings->launch * 1e6)},
                {"graph_launch_us", or_null(report.ceilings->graph_launch * 1e6)}};
  const Json json{{"program", "microbench"}, {"schema", 1},
                  {"device", {{"kind", machine.device}, {"name", machine.name}, {"about", machine.about}, {"emulated", machine.emulated},
                              {"cache_bytes", machine.cache_bytes}}},
                  {"clock_mhz", or_null(machine.clock_mhz)}, {"threads", machine.threads},
                  {"commit", commit()}, {"date", date()}, {"sizes", report.options.sizes}, {"validated_only", report.options.validate},
                  {"interrupted", report.interrupted},
                  {"seconds", report.seconds}, {"involuntary_switches", report.involuntary_switches}, {"ceilings", ceilings}, {"cases", cases}};
  const std::string text = json.dump(1) + "\n";
  report.options.json == "-" ? fmt::print("{}", text) : write_file(report.options.json, {text});
}

}  // namespace mica::bench
