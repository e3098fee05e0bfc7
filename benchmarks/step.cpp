// Times one training step of an example network, forward, backward and update, on the CPU or on CUDA, and prints one JSON
// line. Its PyTorch twin is step_pytorch.py; compare_step.py runs both in turn.
#include "../examples/training/step.h"
#include "../examples/networks/network.h"
#include "../examples/training/choices.h"

#include <mica/core/context.h>
#include <mica/core/memory.h>
#include <mica/core/ops/loss.h>
#include <mica/core/random.h>
#include <mica/core/settings.h>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace {

using namespace mica;

struct Options {
  std::string network = "gap-19k", device = "cpu", policy, tf32;
  std::int64_t batch = 128, images = 60000;
  int steps = 20, warm_up = 5, block = 0, threads = num_threads(), graph = 0;
  bool gather = false;
};

double milliseconds(const std::function<void()>& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

std::vector<std::int64_t> random_labels(std::int64_t count) {
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < count; ++i) labels.push_back(kernels::random_bits(random_key("labels"), static_cast<std::uint64_t>(i)) % 10);
  return labels;
}

// Steps on one batch that is there already; at least one. Returns how many were done.
std::function<std::int64_t(std::int64_t)> on_one_batch(Sequential& network, Optimizer& optimizer, const Options& o, Device device) {
  Tensor images = Tensor::empty({o.batch, 1, 28, 28}, DType::f32, device);
  uniform_(images, -1.7, 1.7, random_key("benchmark"));
  const Tensor target = Tensor::from<std::int64_t>(random_labels(o.batch), {o.batch}).to(device);
  return [&network, &optimizer, images, target](std::int64_t count) {
    Tensor loss;
    for (std::int64_t i = 0; i < count; ++i) {
      optimizer.zero_grad();
      loss = nll_loss(network(images), target);
      loss.backward();
      optimizer.step();
    }
    loss.item<float>();
    return count;
  };
}

// Steps as examples/training does them: shuffled batches of a set on the device, gathered and normalised in the step, as graphs
// if asked for. The set is cut to whole batches and graphs.
std::function<std::int64_t(std::int64_t)> on_gathered_batches(Sequential& network, Optimizer& optimizer, const Options& o, Device device) {
  const std::int64_t whole = o.batch * std::max(o.graph, 1), count = std::max<std::int64_t>(o.images / whole, 1) * whole;
  Tensor pixels = Tensor::empty({count, 28, 28});
  uniform_(pixels, 0, 255.99, random_key("benchmark"));
  const Tensor labels = Tensor::from<std::int64_t>(random_labels(count), {count});
  const ImageSet set{pixels.to(DType::u8).to(device), labels.to(DType::u8).to(device)};
  const auto loader = std::make_shared<BatchLoader>(set, BatchOptions{.batch_size = o.batch});
  const auto steps = std::make_shared<training::Steps>(network, optimizer, training::Steps::Options{.per_graph = o.graph}, device);
  return [loader, steps, device, most = std::int64_t{o.graph}, epoch = 0U](std::int64_t wanted) mutable {
    std::int64_t done = 0;
    while (done < wanted) {
      const auto results = steps->next(*loader, std::max(wanted, most));
      if (results.empty()) loader->start(++epoch);
      done += static_cast<std::int64_t>(results.size());
    }
    synchronize(device);
    return done;
  };
}

void declare(CLI::App& app, Options& o) {
  app.add_option("--network", o.network)->capture_default_str();
  app.add_option("--batch", o.batch)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--steps", o.steps, "how many times are measured")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--warm-up", o.warm_up, "measurements that do not count, before")->check(CLI::Range(0, 1000))->capture_default_str();
  app.add_option("--block", o.block, "steps a measurement, the device is waited for at its end; default: 1, on CUDA 50")->check(CLI::PositiveNumber);
  app.add_option("--threads", o.threads)->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option("--device", o.device, "cpu or cuda")->check(CLI::IsMember({"cpu", "cuda"}))->capture_default_str();
  app.add_option("--policy", o.policy, "our own kernels or a library's, as mnist --policy");
  app.add_option("--tf32", o.tf32, "may f32 be rounded to TF32: on or off, in all that can; default: PyTorch's defaults");
  auto* gather = app.add_flag("--gather", o.gather, "each step gathers its batch from images on the device; else one batch serves all");
  app.add_option("--images", o.images, "on the device, with --gather")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--graph", o.graph, "on CUDA, with --gather: record N steps and replay them")->check(CLI::Range(1, 1000))->needs(gather);
}

}  // namespace

int main(int argc, char** argv) try {
  Options o;
  CLI::App app("Times one training step.", "step");
  declare(app, o);
  CLI11_PARSE(app, argc, argv);

  set_num_threads(o.threads);
  if (!o.policy.empty()) configure("policy", o.policy);
  if (!o.tf32.empty()) configure("tf32", o.tf32);
  const Device device = o.device == "cuda" ? Device::cuda() : Device::cpu();  // throws where there is none, with the reason
  const int block = o.block > 0 ? o.block : device == Device::cpu() ? 1 : 50;
  const networks::Network& entry = networks::find(o.network);
  Sequential network = entry.build();
  network.to(device);
  const auto optimizer = training::make_optimizer(entry.recipe.optimizer, network.parameters());
  const auto steps = (o.gather ? on_gathered_batches : on_one_batch)(network, *optimizer, o, device);

  for (int i = 0; i < o.warm_up; ++i) steps(block);
  std::vector<double> times;  // of one step
  for (int i = 0; i < o.steps; ++i) {
    std::int64_t done = 0;
    const double all = milliseconds([&] { done = steps(block); });
    times.push_back(all / static_cast<double>(done));
  }
  std::sort(times.begin(), times.end());
  const double median = (times[times.size() / 2] + times[(times.size() - 1) / 2]) / 2;
  fmt::print(R"({{"what": "mica {}", "device": "{}", "batch": {}, "threads": {}, "graph": {}, "gather": {}, "median_ms": {:.4f}, "min_ms": {:.4f}, )"
             R"("max_ms": {:.4f}, "images_per_second": {:.1f}, "peak_tensor_bytes": {}, "library_ops": {}, "library_refused": {}}})" "\n",
             o.network, to_string(device), o.batch, o.threads, o.graph, o.gather, median, times.front(), times.back(),
             static_cast<double>(o.batch) / median * 1e3, memory_stats(device).peak, library_ops(device).done, library_ops(device).refused);
} catch (const std::exception& error) {
  fmt::print(stderr, "step: {}\n", error.what());
  return 1;
}
