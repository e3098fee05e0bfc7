// Times ops of the table, forward and backward, f32, on the cases of ops.json, and prints one JSON line each. Its PyTorch
// twin is ops_pytorch.py; compare_ops.py runs both in turn.
#include "../tests/ops/case_table.h"

#include <mica/core/autograd.h>
#include <mica/core/context.h>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>

namespace {

using namespace mica;
using namespace mica::test;

double microseconds(const std::function<void()>& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

// Median of runs that fill `budget` seconds, after a quarter as long of warming up.
double time_case(const OpCase& c, double budget) {
  const std::string op = c.attributes.at("op");
  Arguments arguments = c.arguments();
  Outputs gradients;
  for (auto& [name, x] : arguments) {
    if (is_floating(x.dtype())) x = x.to(DType::f32);
    if (is_differentiable(op, name, x)) x.set_requires_grad();
  }
  for (const auto& [name, gy] : c.grad_outputs()) gradients[name] = gy.to(DType::f32);
  const auto step = [&] {
    for (auto& [name, x] : arguments)
      if (x.requires_grad()) x.set_grad(Tensor());
    const Outputs y = call_op(arguments, c.attributes);
    std::vector<Tensor> roots, gys;
    for (const auto& [name, gy] : gradients)
      if (y.at(name).requires_grad()) roots.push_back(y.at(name)), gys.push_back(gy);
    backward(roots, gys);
  };
  double spent = 0;
  while (spent < budget * 0.25e6) spent += microseconds(step);
  std::vector<double> times;
  for (spent = 0; spent < budget * 1e6 || times.size() < 5; spent += times.back()) times.push_back(microseconds(step));
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

}  // namespace

int main(int argc, char** argv) try {
  std::string file;
  double budget = 0.3;
  int threads = num_threads();
  CLI::App app("Times ops, forward and backward.", "ops");
  app.add_option("CASES", file, "JSON list of cases, as tests/ops/case_table.h has them")->required()->check(CLI::ExistingFile);
  app.add_option("--seconds", budget, "to spend on each case")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--threads", threads)->check(CLI::Range(1, 1024))->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  set_num_threads(threads);
  std::ifstream in(file);
  for (const nlohmann::json& line : nlohmann::json::parse(in))
    fmt::print("{}\n", nlohmann::json{{"case", line}, {"median_us", time_case(parse_case(line.dump()), budget)}}.dump());
} catch (const std::exception& error) {
  fmt::print(stderr, "ops: {}\n", error.what());
  return 1;
}
