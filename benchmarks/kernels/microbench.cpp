// Times every family of kernels: ours, a library's and a naive one, beside what the machine can do. docs/microbenchmarks.md says
// how; compare.py says what changed between two of its files.
#include "families.h"
#include "report.h"

#include <mica/core/context.h>
#include <mica/core/error.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <cmath>
#include <iterator>

#include <sys/time.h>

namespace mica::bench {
namespace {

void on_interrupt(int) {
  interrupted = 1;
  std::signal(SIGINT, SIG_DFL);  // a second one ends the program at once
}

// Like Ctrl-C, that much later; 0: never.
void interrupt_after(double seconds) {
  std::signal(SIGALRM, on_interrupt);
  itimerval timer{};
  timer.it_value = {static_cast<time_t>(seconds), static_cast<suseconds_t>(std::fmod(seconds, 1) * 1e6)};
  setitimer(ITIMER_REAL, &timer, nullptr);
}

Options parse(CLI::App& app, int argc, char** argv) {
  Options o;
  app.add_option("--device", o.device, "where: auto is cuda where there is one")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--filter", o.filter, "only cases with this in family/name: a part, or a regular expression");
  app.add_flag("--list", o.list, "name the cases, with bytes, FLOP and implementations, and end");
  app.add_flag("--validate", o.validate, "check every kernel against its reference, and time nothing");
  app.add_flag("--static", o.figures, "bytes and FLOP of the CUDA cases against a GPU's data sheet, without one, and end");
  app.add_option("--sizes", o.sizes, "network: those of gap-19k at 128 images")
      ->check(CLI::IsMember({"small", "network", "large"}))
      ->capture_default_str();
  app.add_option("--threads", o.threads, "of the CPU; every core unless given")->check(CLI::Range(1, 1024));
  app.add_option("--repeats", o.repeats, "of each timing")->check(CLI::Range(1, 10000))->capture_default_str();
  app.add_option("--group-ms", o.group_ms, "of calls that are timed at once")->check(CLI::Range(1e-3, 1e4))->capture_default_str();
  app.add_option("--time-limit", o.time_limit, "seconds, after which it stops as after Ctrl-C: what was measured is kept")->check(CLI::Range(0.1, 1e6));
  app.add_option("--json", o.json, "a file for the figures; - is standard output, instead of the table");
  app.add_flag("--plant-error", o.plant_error)->group("");
  app.add_option("--plant-failure", o.plant_failure)->group("");
  app.add_flag("--plant-times", o.plant_times)->group("");
  app.parse(argc, argv);
  return o;
}

// Every case that is asked for, not run.
template <class Context>
void name_cases(Report& report) {
  for (const Case<Context>& c : every_case<Context>(report.options.sizes).all) {
    if (!selects(report.options.filter, c.family + "/" + c.name)) continue;
    CaseResult& result = report.cases.emplace_back(CaseResult{c.family, c.name, c.bytes, c.flops, {}});
    for (const Implementation<Context>& i : c.implementations) result.measured.push_back({i.name, i.products});
  }
}

#ifdef MICA_CUDA
constexpr bool built_with_cuda = true;
#else
constexpr bool built_with_cuda = false;
#endif

bool wants_cuda(const Options& o) {
  if (o.device == "cpu") return false;
  const bool only_names = built_with_cuda && (o.list || o.figures);
  if (o.device == "cuda" && !only_names) (void)Device::cuda();  // throws with the reason where there is none
  return o.device == "cuda" || o.figures || why_no_cuda().empty();
}

template <class Context, class Get>
int work(Report& report, const Get& context) {
  const Options& o = report.options;
  name_cases<Context>(report);
  if (report.cases.empty()) throw Error(fmt::format("--filter {}: no case of --sizes {} fits; --list shows them", o.filter, o.sizes));
  if (o.list) return print_list(report), 0;
  if (o.figures) return print_roofline(report), 0;
  report.cases.clear();
  Machine machine = machine_of(context());
  machine.emulated = machine.emulated && !o.plant_times;
  const auto keep = [&] {
    if (!o.json.empty() && o.json != "-") write_json(report, machine);
  };
  keep();  // so that a bad path is known before hours of work
  std::signal(SIGINT, on_interrupt);
  interrupt_after(o.time_limit);
  run(context(), report, keep);
  o.json == "-" ? write_json(report, machine) : print_table(report, machine);
  std::size_t checked = 0, wrong = 0, failed = 0;
  for (const CaseResult& c : report.cases) {
    failed += !c.failed.empty();
    for (const Measured& m : c.measured)
      if (!m.failed.empty()) ++failed;
      else checked += m.skipped.empty(), wrong += m.skipped.empty() && !m.valid;
  }
  fmt::print(stderr, "{} implementations of {} cases checked, {} wrong{}{}\n", checked, report.cases.size(), wrong,
             failed ? fmt::format(", {} failed", failed) : "", report.interrupted ? "; interrupted, the rest was not measured" : "");
  return wrong || failed ? 1 : report.interrupted ? 130 : 0;
}

}  // namespace
}  // namespace mica::bench

int main(int argc, char** argv) try {
  using namespace mica;
  using namespace mica::bench;
  CLI::App app("Times every family of kernels: ours, a library's and a naive one, beside the machine's ceilings.", "microbench");
  Report report;
  try {
    report.options = parse(app, argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  if (report.options.threads) set_num_threads(report.options.threads);
  if (!wants_cuda(report.options)) return work<Cpu>(report, []() -> Cpu& { return cpu_context(); });
#ifdef MICA_CUDA
  return work<Cuda>(report, []() -> Cuda& { return cuda_context(Device::cuda()); });
#else
  throw Error("--static: this build has no CUDA kernels; configure where nvcc is, or with -DMICA_CUDA=EMULATED");
#endif
} catch (const std::exception& error) {
  fmt::print(stderr, "microbench: {}\n", error.what());
  return 1;
}
