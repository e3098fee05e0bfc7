// Runs ops on cases from a file, for any oracle to compare: see case_file.h for the format.
#include "case_file.h"
#include "case_table.h"

#include <mica/core/context.h>
#include <mica/core/error.h>
#include <mica/core/settings.h>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

using namespace mica;
using namespace mica::test;

int main(int argc, char** argv) try {
  std::string in, out, device = "cpu", policy;
  int threads = num_threads();
  bool write_table = false, libraries = false;
  CLI::App app("Runs the ops of IN's cases and writes outputs, gradients and errors to OUT (tests/ops/case_file.h).", "op_runner");
  app.add_option("IN", in, "safetensors file of cases");
  app.add_option("OUT", out, "safetensors file to write");
  app.add_option("--device", device, "where to run: cpu or cuda")->check(CLI::IsMember({"cpu", "cuda"}))->capture_default_str();
  app.add_option("--threads", threads)->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option("--policy", policy, "our own kernels or a library's: auto, native, library, conv2d=library, … (core/settings.h); default: $MICA_POLICY, auto");
  app.add_flag("--libraries", libraries, "print which of CUDA's libraries can be used, or why not, and run nothing");
  app.add_flag("--write-table", write_table, "write Mica's own table of cases to IN instead, and run nothing");
  CLI11_PARSE(app, argc, argv);

  if (write_table) {
    save_safetensors(in, table_as_file());
    return 0;
  }
  if (libraries) {
    for (const auto& [name, reason] : {std::pair("cuBLAS", why_no_cublas()), std::pair("cuDNN", why_no_cudnn())})
      fmt::print("{}: {}\n", name, reason.empty() ? "can be used" : reason);
    return 0;
  }
  if (in.empty() || out.empty()) throw Error("give the files IN and OUT; --help tells more");
  set_num_threads(threads);
  if (!policy.empty()) set_policy(policy);
  const Device place = device == "cuda" ? Device::cuda() : Device::cpu();  // throws where there is none, with the reason
  save_safetensors(out, run_cases(read_cases(load_safetensors(in)), place));
} catch (const std::exception& error) {
  fmt::print(stderr, "op_runner: {}\n", error.what());
  return 1;
}
