// mnist: trains, evaluates, summarises and profiles the example networks on MNIST.
#include "ceilings/ceilings.h"
#include "networks/network.h"
#include "training/choices.h"
#include "training/trainer.h"

#include <mica/core/context.h>
#include <mica/core/error.h>
#include <mica/core/file.h>
#include <mica/core/memory.h>
#include <mica/core/random.h>
#include <mica/core/safetensors.h>
#include <mica/core/settings.h>
#include <mica/data/mnist.h>
#include <mica/layers/dropout.h>
#include <mica/layers/initialize.h>
#include <mica/layers/profile.h>
#include <mica/layers/summary.h>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <set>

namespace {

using namespace mica;

struct Options {
  std::string network = "gap-19k", data, device = "auto", dtype = "f32", optimizer, scheduler;
  std::optional<std::int64_t> epochs, batch_size, max_steps;
  std::optional<double> lr, dropout;
  std::optional<int> threads;
  std::uint64_t seed = 0;
  int graph = 0;
  bool no_shuffle = false, no_augment = false, summary = false, memory = false, profile = false, list = false, eval = false, confusion = false, quiet = false;
  std::string weights, save, log, log_steps, profile_trace;
};

constexpr std::int64_t profiled_steps = 55, warm_up_steps = 5;

// A finite number in [low, high]: CLI11's own Range lets NaN through.
CLI::Validator finite(double low, double high) {
  return CLI::Validator(
      [=](const std::string& text) {
        double value = 0;
        const bool number = CLI::detail::lexical_cast(text, value) && std::isfinite(value);
        return number && value >= low && value <= high ? std::string() : fmt::format("expected a number from {:g} to {:g}, got {}", low, high, text);
      },
      "NUMBER", "");
}

// --NAME VALUE for a setting of that name.
void add_setting(CLI::App& app, const std::string& name, const std::string& help) {
  const auto apply = [name](const std::string& value) {
    try {
      configure(name, value);
    } catch (const Error& error) {
      throw CLI::ValidationError("--" + name, error.what());
    }
  };
  app.add_option_function<std::string>("--" + name, apply, help);
}

void declare(CLI::App& app, Options& o) {
  constexpr double any = 1e15;
  app.add_option("--network", o.network, "which network (--list names them)")->capture_default_str();
  app.add_option("--data", o.data, "folder with the four IDX files; default: $MICA_DATA, the cache, download, drawn digits");
  app.add_option("--device", o.device, "auto, cpu or cuda")->check(CLI::IsMember({"auto", "cpu", "cuda"}))->capture_default_str();
  add_setting(app, "policy", fmt::format("our own kernels or a library's (oneDNN, cuBLAS, cuDNN): auto, native or library, for one op as op=library, several "
                                         "with commas; ops are {}; default: $MICA_POLICY, auto",
                                         fmt::join(kernels::library_op_names, ", ")));
  add_setting(app, "tf32", "may products of f32 be rounded to TF32: on or off, for all; default: $MICA_TF32, as PyTorch convolutions only");
  add_setting(app, "deterministic", "only algorithms of cuBLAS and cuDNN that repeat their bits: on or off; default: $MICA_DETERMINISTIC, on");
  add_setting(app, "workspace", "MiB that one call of cuBLAS or cuDNN may use beside its arguments; default: $MICA_WORKSPACE, 256");
  app.add_option("--dtype", o.dtype, "f32 or f64")->check(CLI::IsMember({"f32", "f64"}))->capture_default_str();
  app.add_option("--epochs", o.epochs, "epochs to train; default: the network's recipe")->check(finite(1, 1e6));
  app.add_option("--batch-size", o.batch_size, "images a step; default: the recipe")->check(finite(1, 1e6));
  app.add_option("--optimizer", o.optimizer, "name and options, as \"sgd lr=0.05 momentum=0.9\"; default: the recipe");
  app.add_option("--scheduler", o.scheduler, "of the learning rate, as \"step step_size=10 gamma=0.1\"; default: the recipe");
  app.add_option("--lr", o.lr, "learning rate at the start; default: the recipe")->check(finite(0, 1e6));
  app.add_option("--seed", o.seed, "of weights, order, augmentation and dropout")->check(finite(0, 0x1p64))->capture_default_str();
  app.add_option("--threads", o.threads, "CPU threads; default: all cores")->check(finite(1, 1024));
  app.add_option("--max-steps", o.max_steps, "stop after N steps, without evaluation; 0 trains nothing")->check(finite(0, any));
  app.add_flag("--no-shuffle", o.no_shuffle, "images in the file's order");
  app.add_flag("--no-augment", o.no_augment, "images as they are");
  app.add_option("--dropout", o.dropout, "probability to drop, for every dropout layer")->check(finite(0, 1));
  app.add_flag("--graph{1}", o.graph, "on CUDA: record a training step, or N with --graph=N, and replay it; losses are read once an epoch")
      ->check(finite(0, 1000));  // 0, its default, goes through this check too in newer versions of CLI11
  app.add_option("--weights", o.weights, "safetensors file to start from");
  app.add_option("--save", o.save, "safetensors file for the weights, replaced whole after every epoch and at the end");
  auto* log = app.add_option("--log", o.log, "CSV file, a row an epoch");
  auto* log_steps = app.add_option("--log-steps", o.log_steps, "CSV file, a row a step");
  app.add_flag("--summary", o.summary, "print the network's layers and stop");
  app.add_flag("--list", o.list, "print all networks and stop");
  auto* eval = app.add_flag("--eval", o.eval, "evaluate on the test set instead of training")->excludes(log)->excludes(log_steps);
  app.add_flag("--confusion", o.confusion, "and print which digits are taken for which, with recall, precision and F1 of each")->needs(eval);
  app.add_flag("--memory", o.memory, "report what a training step keeps in memory, by layer")->excludes(eval);
  auto* profile = app.add_flag("--profile", o.profile,
                               fmt::format("train for --max-steps, {} by default, and tell where a step's time goes, by layer", profiled_steps));
  app.add_option("--profile-trace", o.profile_trace, "JSON file of every step, for chrome://tracing and ui.perfetto.dev")->needs(profile);
  app.add_flag("--quiet", o.quiet, "print the result only");
}

// Everything that can be found wrong before hours of work.
void check(const Options& o) {
  std::set<std::filesystem::path> outputs;
  for (const std::string& path : {o.save, o.log, o.log_steps, o.profile_trace}) {
    if (path.empty()) continue;
    require_writable(path);
    if (!outputs.insert(std::filesystem::weakly_canonical(std::filesystem::absolute(path))).second)
      throw Error("two of --save, --log, --log-steps and --profile-trace name the same file, " + path);
  }
}

// The network's own, with what options put in its place. Throws Error for an optimizer or a schedule that means nothing.
networks::Recipe recipe_of(const networks::Network& entry, const Options& o) {
  networks::Recipe recipe = entry.recipe;
  if (!o.optimizer.empty()) recipe.optimizer = o.optimizer;
  if (!o.scheduler.empty()) recipe.schedule = o.scheduler;
  if (o.epochs) recipe.epochs = *o.epochs;
  if (o.batch_size) recipe.batch_size = *o.batch_size;
  if (o.no_augment) recipe.augmentation = {};
  training::make_schedule(recipe.schedule, *training::make_optimizer(recipe.optimizer, {constant_parameter({1}, 0)}, o.lr), {recipe.epochs, 1000});
  return recipe;
}

void list_networks() {
  constexpr const char* format = "{:<16}{:>7}{:>8}{:>7}  {:<26}{:<32}{:<55}{:>8}\n";
  fmt::print(format, "network", "params", "epochs", "batch", "optimizer", "scheduler", "augmentation", "target");
  for (const networks::Network& n : networks::all()) {
    const networks::Recipe& r = n.recipe;
    fmt::print(format, n.name, grouped(n.build().parameter_count()), r.epochs, r.batch_size, r.optimizer, r.schedule, to_string(r.augmentation), fmt::format("{:.2f} %", n.target));
  }
}

struct Place {
  Device device;
  std::string description;
};

// "with cuBLAS, without cuDNN (why), TF32 off in matmul and on in conv2d"
std::string libraries() {
  const auto library = [](const char* name, const std::string& why_not) {
    return why_not.empty() ? fmt::format("with {}", name) : fmt::format("without {} ({})", name, why_not);
  };
  const auto tf32 = [](bool allowed) { return allowed ? "on" : "off"; };
  return fmt::format("{}, {}, TF32 {} in matmul and {} in conv2d", library("cuBLAS", why_no_cublas()), library("cuDNN", why_no_cudnn()), tf32(matmul_tf32_allowed()),
                     tf32(cudnn_tf32_allowed()));
}

Place choose_device(const std::string& wanted) {
  const std::string reason = wanted == "auto" ? why_no_cuda() : "";
  if (wanted == "cuda" || (wanted == "auto" && reason.empty())) {
    const Device device = Device::cuda();  // throws, with the reason
    return {device, to_string(device) + " " + libraries()};
  }
  return {Device::cpu(),
          fmt::format("cpu, {} thread{}{}", num_threads(), num_threads() == 1 ? "" : "s", reason.empty() ? "" : " (no CUDA: " + reason + ")")};
}

Sequential make_network(const networks::Network& entry, const Options& o, DType dtype) {
  Sequential network = entry.build();
  network.to(dtype);
  if (o.dropout)
    for (Module* module : network.modules())
      if (auto* layer = dynamic_cast<Dropout*>(module)) layer->set_p(*o.dropout);
  if (!o.weights.empty()) {
    try {
      network.load_state_dict(load_safetensors(o.weights).tensors);
    } catch (const FileError&) {
      throw;
    } catch (const Error& error) {
      throw Error(o.weights + ": " + error.what());
    }
  }
  return network;
}

std::atomic<bool> interrupted = false;

void on_interrupt(int) {
  interrupted = true;
  std::signal(SIGINT, SIG_DFL);  // a second Ctrl-C ends the program at once
}

// The weights that are on disk, for when those on a device are lost.
struct Saved {
  std::int64_t steps = -1;  // of this run, that they have
  std::string description;  // file and age; empty: none yet
};

void save(Sequential& network, const Options& o, training::Progress& progress, Saved& saved, std::int64_t steps, const std::string& age) {
  if (o.save.empty()) return;
  save_safetensors(o.save, {network.state_dict(), {{"format", "pt"}, {"network", o.network}}});
  saved = {steps, fmt::format("{} ({})", o.save, age)};
  progress.say("weights saved to " + o.save);
}

// Adds to an error in the middle of a training what became of the weights.
[[noreturn]] void save_and_fail(const OutOfMemory& error, Sequential& network, const Options& o, training::Progress& progress,
                                Saved& saved) {
  if (o.save.empty()) throw Error(fmt::format("{}; nothing saved: --save names a file for that", error.what()));
  try {
    save(network, o, progress, saved, -1, "when memory ran out");
  } catch (const DeviceLost&) {
    throw;
  } catch (const Error& another) {
    throw Error(fmt::format("{}; the weights could not be saved: {}; the last ones saved: {}", error.what(), another.what(),
                            saved.description.empty() ? "none" : saved.description));
  }
  throw Error(fmt::format("{}; the weights as they were then are saved to {}", error.what(), o.save));
}

// Which steps are measured: those after a few that warm up.
void prepare(std::optional<Profile>& profile, Sequential& network, networks::Recipe& recipe, training::Settings& settings, const ImageSet& set) {
  recipe.batch_size = std::min(recipe.batch_size, set.size());
  const std::int64_t batches = (set.size() + recipe.batch_size - 1) / recipe.batch_size;
  settings.max_steps = std::min(settings.max_steps.value_or(profiled_steps), recipe.epochs * batches);
  settings.warm_up = std::min(warm_up_steps, *settings.max_steps / 2);
  settings.profile = &profile.emplace(network, Shape{recipe.batch_size, 1, set.images.size(1), set.images.size(2)});
}

// The ceilings that a profile is compared with, and a line about them; none where there is nothing to compare.
Profile::Ceilings ceilings(const training::Settings& settings, Device device, training::Progress& progress) {
  if (bench::is_emulated(device)) {
    progress.announce("profile: of an emulated device, whose times say nothing of a GPU's");
    return {};
  }
  if (settings.dtype != DType::f32 || interrupted) return {};
  const bench::Ceilings measured = bench::measure_ceilings(device, false, [] { return interrupted.load(); });
  progress.announce(fmt::format("ceilings of this run: multiply-adds (FMA) {:.1f} GFLOP/s in f32, {}copy {:.1f} GB/s, read and written", measured.flops * 1e-9,
                                measured.tf32_flops > 0 ? fmt::format("tensor cores in TF32 {:.1f} GFLOP/s, ", measured.tf32_flops * 1e-9) : "",
                                measured.copy_bandwidth * 1e-9));
  return {measured.flops, measured.copy_bandwidth, measured.tf32_flops};
}

void report(const Profile& profile, const Options& o, const networks::Recipe& recipe, const training::Settings& settings, std::int64_t steps, Device device,
            training::Progress& progress) {
  if (profile.steps() == 0)
    throw Error(fmt::format("--profile: expected a whole batch after {} steps of warm-up, got none in {} steps; give more --max-steps or "
                            "--epochs, or a smaller --batch-size",
                            settings.warm_up, steps));
  progress.announce(profile.table(ceilings(settings, device, progress)));
  const double ms = profile.step_ms();
  progress.announce(fmt::format("a step of {} images: {:.3f} ms, {:.0f} images/s; medians of {} steps, after {} of warm-up", recipe.batch_size, ms,
                                static_cast<double>(recipe.batch_size) / ms * 1e3, profile.steps(), settings.warm_up));
  if (o.profile_trace.empty()) return;
  write_file(o.profile_trace, {profile.chrome_trace()});
  progress.say("trace saved to " + o.profile_trace);
}

int train(Sequential& network, networks::Recipe& recipe, const Options& o, DType dtype, const Digits& digits, Device device,
          training::Progress& progress, Saved& saved) {
  training::Logs logs(o.log, o.log_steps);
  training::Settings settings{o.lr, !o.no_shuffle, dtype, o.max_steps, o.graph, o.memory,
                              [&](int epoch, std::int64_t steps) { save(network, o, progress, saved, steps, fmt::format("after epoch {}", epoch)); }};
  std::optional<Profile> profile;
  if (o.profile) prepare(profile, network, recipe, settings, digits.train);
  const ImageSet train_set = digits.train.to(device), test_set = digits.test.to(device);
  std::signal(SIGINT, on_interrupt);
  training::Result result;
  try {
    result = training::train(network, recipe, settings, train_set, test_set, progress, logs, interrupted);
    if (saved.steps != result.steps) save(network, o, progress, saved, result.steps, fmt::format("after {} steps", result.steps));  // whatever reports may meet
  } catch (const OutOfMemory& error) {
    logs.flush();
    save_and_fail(error, network, o, progress, saved);
  }
  if (profile && (profile->steps() > 0 || result.outcome != training::Outcome::interrupted))
    report(*profile, o, recipe, settings, result.steps, device, progress);
  if (o.memory) {
    const MemoryStats memory = memory_stats(device);
    progress.announce(fmt::format("memory of {}: peak {:.3f} MB, reserved {:.3f} MB", to_string(device), static_cast<double>(memory.peak) / 1e6,
                                  static_cast<double>(memory.reserved) / 1e6));
  }
  if (const LibraryOps ops = library_ops(device); ops.done + ops.refused > 0)
    progress.say(fmt::format("libraries did {} ops and refused {}, which our own kernels did", ops.done, ops.refused));
  const char* set = digits.is_mnist ? "MNIST" : "not MNIST";
  if (result.best_epoch > 0)
    progress.announce(fmt::format("test accuracy ({}): best {:.2f} % (epoch {}), last {:.2f} % (epoch {})", set, result.best_accuracy,
                                  result.best_epoch, result.last_accuracy, result.epochs));
  if (result.outcome == training::Outcome::stopped_at_max_steps) progress.say(fmt::format("stopped after {} steps", result.steps));
  if (result.outcome != training::Outcome::interrupted) return 0;
  progress.announce(fmt::format("interrupted after {} steps ({} whole epochs){}", result.steps, result.epochs,
                                o.save.empty() ? "; nothing saved: --save names a file for that" : ", weights saved to " + o.save));
  return 130;
}

int run(const Options& o, Saved& saved) {
  if (o.list) {
    list_networks();
    return 0;
  }
  const networks::Network& entry = networks::find(o.network);
  networks::Recipe recipe = recipe_of(entry, o);
  (void)settings();  // throws for a bad $MICA_POLICY, $MICA_TF32, …
  if (o.threads) set_num_threads(*o.threads);
  manual_seed(o.seed);
  const DType dtype = o.dtype == "f64" ? DType::f64 : DType::f32;
  const Place place = choose_device(o.device);
  if (o.graph && o.eval) throw Error("--graph: records training steps, and --eval does none; leave one of them out");
  if (o.profile && o.eval) throw Error("--profile: measures training steps, and --eval does none; leave one of them out");
  if (o.profile && o.graph)
    throw Error("--profile: expected steps done one by one, got --graph, whose replays cannot be told apart by layer; leave one of them out");
  if (o.profile && o.max_steps == 0)
    throw Error("--profile: expected a training step or more, got --max-steps 0; give a larger number, or leave it out");
  if (o.graph && place.device == Device::cpu())
    throw Error(fmt::format("--graph: expected a CUDA device, got {}; leave --graph out, there is nothing to gain by it", place.description));
  check(o);
  Sequential network = make_network(entry, o, dtype);
  if (o.summary) {
    fmt::print("{}\n{}", entry.name, summary(network, {1, 1, 28, 28}));
    return 0;
  }
  network.to(place.device);
  training::Progress progress(o.quiet);
  const Digits digits = load_mnist(o.data);
  if (digits.is_mnist) progress.say("data: " + digits.description);
  else progress.announce("data: *** " + digits.description + " ***");
  progress.say(fmt::format("{} on {}, {}, seed {}", entry.name, place.description, o.dtype, o.seed));
  if (!o.eval) return train(network, recipe, o, dtype, digits, place.device, progress, saved);
  std::signal(SIGINT, on_interrupt);
  Metrics metrics(10, place.device);
  const training::Score score = training::evaluate(network, digits.test.to(place.device), dtype, interrupted, o.confusion ? &metrics : nullptr);
  if (interrupted) return 130;
  progress.announce(fmt::format("test accuracy ({}): {:.2f} %, loss {:.6f}", digits.is_mnist ? "MNIST" : "not MNIST", score.accuracy, score.loss));
  if (o.confusion) {
    const Metrics::Values values = metrics.read();
    progress.announce(fmt::format("{}among the first {} answers: {:.2f} %", values.table(), values.top_k, 100 * values.top_k_accuracy));
  }
  save(network, o, progress, saved, 0, "as evaluated");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Trains, evaluates and summarises classifiers of MNIST's digits. Without options: gap-19k by its own recipe.", "mnist");
  declare(app, options);
  app.footer("Exit status: 0 done, 1 an error, 2 an option that means nothing, 3 the CUDA device was lost and the program must be started\n"
             "again (--weights goes on from what --save saved), 130 Ctrl-C.");
  Saved saved;
  try {
    app.parse(argc, argv);
    options.graph = std::max(options.graph, 0);  // CLI11 takes a flag's 0 for "not", and counts it as -1
    return run(options, saved);
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    return 0;
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "mnist: {} (--help lists the options)\n", error.what());
    return 2;
  } catch (const DeviceLost& error) {
    fmt::print(stderr, "mnist: {}; {}\n", error.what(),
               !saved.description.empty() ? "the last saved weights are " + saved.description
               : options.save.empty()     ? "no weights were saved: --save FILE does that after every epoch"
                                          : "no weights were saved yet");
    return 3;
  } catch (const std::exception& error) {
    fmt::print(stderr, "mnist: {}\n", error.what());
    return 1;
  }
}
