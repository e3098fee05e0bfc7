// Times one training step of an example network on random images, forward, backward and update, and prints one JSON
// line. Its PyTorch twin is step_pytorch.py; compare_step.py runs both in turn.
#include "../examples/networks/network.h"

#include <mica/core/allocator.h>
#include <mica/core/context.h>
#include <mica/core/ops/loss.h>
#include <mica/core/random.h>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace {

using namespace mica;

double milliseconds(const std::function<void()>& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) try {
  std::string name = "gap-19k";
  std::int64_t batch = 128;
  int steps = 20, threads = num_threads();
  CLI::App app("Times one training step.", "step");
  app.add_option("--network", name)->capture_default_str();
  app.add_option("--batch", batch)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--steps", steps)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--threads", threads)->check(CLI::Range(1, 1024))->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  set_num_threads(threads);
  const networks::Network& entry = networks::find(name);
  Sequential network = entry.build();
  const auto optimizer = entry.recipe.optimizer(network.parameters(), entry.recipe.lr);
  Tensor images = Tensor::empty({batch, 1, 28, 28});
  uniform_(images, -1.7, 1.7, random_key("benchmark"));
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < batch; ++i) labels.push_back(kernels::random_bits(random_key("labels"), static_cast<std::uint64_t>(i)) % 10);
  const Tensor target = Tensor::from<std::int64_t>(labels, {batch});
  const auto step = [&] {
    optimizer->zero_grad();
    const Tensor loss = nll_loss(network(images), target);
    loss.backward();
    optimizer->step();
    loss.item<float>();
  };
  for (int i = 0; i < 5; ++i) step();
  std::vector<double> times;
  for (int i = 0; i < steps; ++i) times.push_back(milliseconds(step));
  std::sort(times.begin(), times.end());
  const double median = (times[times.size() / 2] + times[(times.size() - 1) / 2]) / 2;
  fmt::print(R"({{"what": "mica {}", "batch": {}, "threads": {}, "median_ms": {:.3f}, "min_ms": {:.3f}, "max_ms": {:.3f}, )"
             R"("images_per_second": {:.1f}, "peak_tensor_bytes": {}}})" "\n",
             name, batch, threads, median, times.front(), times.back(), static_cast<double>(batch) / median * 1e3,
             host_memory_stats().peak);
} catch (const std::exception& error) {
  fmt::print(stderr, "step: {}\n", error.what());
  return 1;
}
