// Times every family of kernels: ours, a library's and a naive one, beside what the machine can do. docs/microbenchmarks.md says
// how; compare.py says what changed between two of its files.
#include "families.h"
#include "report.h"

#include <mica/core/context.h>
#include <mica/core/error.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <iterator>

namespace mica::bench {
namespace {

void on_interrupt(int) {
  interrupted = 1;
  std::signal(SIGINT, SIG_DFL);  // a second one ends the program at once
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
  app.add_option("--repeats", o.repeats, "of each timing")->check(CLI::Range(5, 10000))->capture_default_str();
  app.add_option("--json", o.json, "a file for the figures; - is standard output, instead of the table");
  app.add_flag("--plant-error", o.plant_error)->group("");  // for tests: a result is made wrong, and validation must see it
  app.parse(argc, argv);
  return o;
}

// Every case that is asked for, not run.
template <class Context>
void name_cases(Report& report) {
  for (const Case<Context>& c : every_case<Context>(report.options.sizes).all) {
    if (!selects(report.options.filter, c.family + "/" + c.name)) continue;
    CaseResult& result = report.cases.emplace_back(CaseResult{c.family, c.name, c.bytes, c.flops, {}});
    for (const Implementation<Context>& i : c.implementations) result.measured.push_back({i.name, i.products, {}, 0, 0, false, {}, {}});
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
  if (!o.json.empty() && o.json != "-") write_json(report, machine_of(context()));  // so that a bad path is known before hours of work
  std::signal(SIGINT, on_interrupt);
  run(context(), report);
  const Machine machine = machine_of(context());
  if (!o.json.empty()) write_json(report, machine);
  if (o.json != "-") print_table(report, machine);
  std::size_t checked = 0, wrong = 0;
  for (const CaseResult& c : report.cases)
    for (const Measured& m : c.measured) checked += m.skipped.empty(), wrong += m.skipped.empty() && !m.valid;
  fmt::print(stderr, "{} implementations of {} cases checked, {} wrong{}\n", checked, report.cases.size(), wrong,
             report.interrupted ? "; interrupted, the rest was not measured" : "");
  return wrong ? 1 : report.interrupted ? 130 : 0;
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
