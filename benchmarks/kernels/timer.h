// Times the implementations of a case, warm and cold, in rounds in which they take turns. What is timed at once is a group of calls;
// on a GPU short ones are recorded as CUDA graphs, or it would be launches that are timed.
#pragma once

#include "harness.h"
#include "machine.h"

#include "../../examples/ceilings/clock.h"

#include <mica/core/cuda_graph.h>
#include <mica/core/error.h>
#include <mica/core/settings.h>

namespace mica::bench {

// What a case's implementation asks of libraries, for a scope.
class Choice {
 public:
  template <class Context>
  explicit Choice(const Implementation<Context>& implementation)
      : matmul_tf32_(settings().matmul_tf32), cudnn_tf32_(settings().cudnn_tf32) {
    set_policy(implementation.policy);
    settings().matmul_tf32 = settings().cudnn_tf32 = implementation.products == Products::tf32;
  }
  ~Choice() { settings().matmul_tf32 = matmul_tf32_, settings().cudnn_tf32 = cudnn_tf32_; }
  Choice(const Choice&) = delete;
  Choice& operator=(const Choice&) = delete;

 private:
  bool matmul_tf32_, cudnn_tf32_;
};

// f() for one implementation: where it throws, its row says so, and the others go on, unless the device is lost.
template <class F>
void attempt(Measured& m, const F& f) {
  try {
    f();
  } catch (const std::exception& error) {
    m.valid = false, m.failed = error.what();
    if (dynamic_cast<const DeviceLost*>(&error)) throw;
  }
}

template <class Context>
class Timer {
 public:
  using Call = std::function<void(const Implementation<Context>&, i64 set)>;
  Timer(Context& context, const Case<Context>& c, const Options& options, i64 sets, Call call)
      : context_(context), case_(c), options_(options), sets_(sets), call_(std::move(call)) {}

  // Of the valid ones; after Ctrl-C none has times.
  void measure(std::vector<Measured>& measured) {
    std::vector<Way> ways;
    for (std::size_t i = 0; i < case_.implementations.size(); ++i)
      for (const bool cold : {false, true})
        if (measured[i].valid && (!cold || case_.set_bytes)) ways.push_back({case_.implementations[i], measured[i], cold, options_.repeats});
    for (Way& way : ways)
      if (!interrupted && way.measured.valid) attempt(way.measured, [&] { prepare(way); });
    for (int turn = 0; turn < options_.repeats; ++turn)
      for (Way& way : ways) {
        if (interrupted) return;
        if (turn < way.repeats && way.measured.valid) attempt(way.measured, [&] { repeat(way); });
      }
    for (const Way& way : ways)
      if (way.measured.valid)
        (way.cold ? way.measured.cold : way.measured.warm) = timing_of(way.times, way.calls(), way.disturbed, way.graph.has_value());
  }

 private:
  static constexpr int few = 3;  // repeats, where one call takes longer than a group should

  struct Way {  // of running an implementation: warm or cold
    const Implementation<Context>& implementation;
    Measured& measured;
    bool cold;
    int repeats;
    std::optional<CudaGraph> graph = {};  // of `calls_of_graph` calls; none: they are made one by one
    i64 calls_of_graph = 1, rounds = 1, next = 0;
    std::vector<double> times = {};
    int disturbed = 0;

    i64 calls() const { return rounds * calls_of_graph; }
  };

  double group_us() const { return options_.group_ms * 1000; }

  // Microseconds a call.
  double group(Way& way) {
    const Choice choice(way.implementation);
    const double us = microseconds(context_, [&] {
      for (i64 k = 0; k < way.rounds; ++k)
        if (way.graph) way.graph->replay();
        else call_(way.implementation, way.cold ? way.next++ : 0);
    });
    return us / static_cast<double>(way.calls());
  }

  // Warms up, and finds how many rounds fill a group.
  double fill_group(Way& way) {
    double us = group(way);
    for (; us * static_cast<double>(way.calls()) < group_us() / 2 && way.rounds < (1 << 20) && !interrupted; us = group(way)) {
      const double round_us = std::max(us * static_cast<double>(way.calls_of_graph), 1e-3);
      way.rounds = std::clamp(static_cast<i64>(group_us() / round_us), way.rounds + 1, way.rounds * 16);
    }
    return us;
  }

  void prepare(Way& way) {
    const double us = fill_group(way);
    if (us > group_us()) way.repeats = std::min(way.repeats, few);
    if (on_cuda<Context> && is_worth_a_graph(way, us) && recorded(way, us)) fill_group(way);
  }

  // Is a call short beside a group, so that its launch may count, and a round of cold ones not too long? On an emulated device,
  // whose times say nothing, all are recorded.
  bool is_worth_a_graph(const Way& way, double us) const {
    if (way.implementation.error) return false;  // works by itself, without buffers
    const bool is_short = us < group_us() / 20 && (!way.cold || us * static_cast<double>(sets_) < 10 * group_us());
    return is_short || is_emulated(device_of(context_));
  }

  // Warm: as many calls as fill a group, up to a thousand; cold: one of each set. False where they cannot be recorded: what waits for
  // the device in a call is then timed call by call.
  bool recorded(Way& way, double us) {
    const i64 calls = way.cold ? sets_ : std::clamp<i64>(static_cast<i64>(group_us() / std::max(us, 1e-3)), 1, 1000);
    const Choice choice(way.implementation);
    CudaGraph graph(device_of(context_));
    try {
      graph.capture([&](int k) { call_(way.implementation, way.cold ? k : 0); }, static_cast<int>(calls));
    } catch (const DeviceLost&) {
      throw;
    } catch (const Error&) {
      return false;
    }
    way.graph = std::move(graph), way.calls_of_graph = calls, way.rounds = 1;
    return true;
  }

  // On the CPU a group during which another program took a processor is timed again, a few times.
  void repeat(Way& way) {
    for (int attempt = 0;; ++attempt) {
      const long switches = involuntary_switches();
      const double us = group(way), seconds = us * static_cast<double>(way.calls()) * 1e-6;
      const bool disturbed = !on_cuda<Context> && static_cast<double>(involuntary_switches() - switches) > 20 * seconds;
      if (disturbed && attempt < 8 && !interrupted) continue;
      way.disturbed += disturbed;
      way.times.push_back(us);
      return;
    }
  }

  Context& context_;
  const Case<Context>& case_;
  const Options& options_;
  i64 sets_;
  Call call_;
};

}  // namespace mica::bench
