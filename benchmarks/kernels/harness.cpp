#include "harness.h"

#include "families.h"
#include "machine.h"

#include "../../examples/ceilings/clock.h"

#include <mica/core/error.h>
#include <mica/core/settings.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <mutex>
#include <regex>

namespace mica::bench {

volatile std::sig_atomic_t interrupted = 0;

Timing timing_of(std::vector<double> us, i64 calls, int disturbed) {
  std::sort(us.begin(), us.end());
  const auto quantile = [&](double q) {
    const double at = q * static_cast<double>(us.size() - 1);
    const auto below = static_cast<std::size_t>(at);
    const double part = at - static_cast<double>(below);
    return us[below] + part * (us[std::min(below + 1, us.size() - 1)] - us[below]);
  };
  return {quantile(0.5), quantile(0.25), quantile(0.75), us.front(), us.back(), calls, disturbed};
}

bool selects(const std::string& filter, const std::string& name) {
  if (name.find(filter) != std::string::npos) return true;
  try {
    return std::regex_search(name, std::regex(filter));
  } catch (const std::regex_error& error) {
    throw Error(fmt::format("--filter {}: neither a part of a case's name nor a regular expression ({}); --list shows the cases", filter,
                            error.what()));
  }
}

template <class Context>
Cases<Context> every_case(const std::string& sizes) {
  Cases<Context> cases{sizes == "small" ? Sizes::small : sizes == "large" ? Sizes::large : Sizes::network, {}, {}};
#define MICA_ADD(name)  \
  cases.family = #name; \
  families::name(cases);
  MICA_FAMILIES(MICA_ADD)
  return cases;
}

namespace {

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

std::string why_skipped(const std::string& implementation) {
  if (implementation.starts_with("cuDNN")) return why_no_cudnn();
  if (implementation.starts_with("cuBLAS")) return why_no_cublas();
#ifndef MICA_ONEDNN
  if (implementation == "oneDNN") return "this build has no oneDNN";
#endif
  return {};
}

template <class Context>
bool has_tensor_cores(const Context& context) {
  if constexpr (on_cuda<Context>) return context.has_tensor_cores();
  else return false;
}

template <class Context>
class Runner {
 public:
  // arena: grows where a case needs more, and is kept, since fresh pages take long.
  Runner(Context& context, const Case<Context>& c, const Options& options, std::size_t cache, std::optional<Arena>& arena)
      : context_(context),
        case_(c),
        options_(options),
        device_(device_of(context)),
        start_(first_set()),
        sets_(options.validate ? 1 : std::clamp<i64>(static_cast<i64>(2 * cache / std::max<std::size_t>(c.set_bytes, 1)) + 1, 2, 1 << 20)),
        arena_(arena) {
    const std::size_t needed = c.set_bytes * static_cast<std::size_t>(sets_);
    if (arena_ && arena_->bytes() >= needed) return;
    arena_.reset();
    release_cached_memory(device_);
    arena_.emplace(device_, needed);
  }

  CaseResult run() {
    CaseResult result{case_.family, case_.name, case_.bytes, case_.flops, {}};
    std::optional<Reference> reference;
    if (case_.reference) case_.reference(reference.emplace(start_));
    for (const Implementation<Context>& implementation : case_.implementations)
      result.measured.push_back(checked(implementation, reference));
    if (!options_.validate && !interrupted) measure(result);
    return result;
  }

 private:
  std::vector<std::byte> first_set() {
    std::vector<std::byte> set(case_.set_bytes, std::byte{0xff});  // NaN
    for (const Declared& b : case_.buffers)
      if (b.fill) b.fill(set.data() + b.offset);
    return set;
  }
  Set set(i64 index) const { return {arena_->base() + static_cast<std::size_t>(index % sets_) * case_.set_bytes}; }
  void fill_set(i64 index) { copy_bytes("microbench", device_, set(index).base, Device::cpu(), start_.data(), start_.size()); }
  void call(const Implementation<Context>& implementation, i64 index) { implementation.run(context_, set(index)); }

  // ---- is it right? ----
  Measured checked(const Implementation<Context>& implementation, const std::optional<Reference>& reference) {
    const double bound = implementation.tolerance.value_or(case_.tolerance);
    Measured m{implementation.name, implementation.products, why_skipped(implementation.name), 0, bound, false, {}, {}};
    if (case_.tensor_cores && !has_tensor_cores(context_)) m.skipped = "this device has no tensor cores for TF32";
    if (!m.skipped.empty()) return m;
    const Choice choice(implementation);
    if (implementation.error) {
      m.error = implementation.error();
    } else {
      fill_set(0);
      call(implementation, 0);
      m.error = worst(implementation, *reference);
    }
    m.valid = m.error <= m.bound;
    return m;
  }

  // The largest error of any output, relative to the output's largest value.
  double worst(const Implementation<Context>& implementation, const Reference& reference) {
    std::vector<std::byte> got(start_.size());
    copy_bytes("microbench", Device::cpu(), got.data(), device_, set(0).base, got.size());
    if (implementation.judge) return implementation.judge({start_.data()}, {got.data()});
    double most = 0;
    for (const Declared& b : case_.buffers) {
      if (!b.written) continue;
      float* const y = reinterpret_cast<float*>(got.data() + b.offset);
      if (options_.plant_error) y[b.count - 1] += 1;
      most = std::max(most, difference(b.count, y, reference.made(Values{b.offset})));
    }
    return most;
  }
  static double difference(i64 n, const float* y, const double* expected) {
    std::mutex mutex;
    double most = 0, scale = 1e-30;
    Reference::positions(n, [&](i64 i) {
      const double off = std::fabs(static_cast<double>(y[i]) - expected[i]);
      const std::lock_guard lock(mutex);
      scale = std::max(scale, std::fabs(expected[i]));
      most = off <= most ? most : std::isnan(off) ? INFINITY : off;
    });
    return most / scale;
  }

  // ---- how long does it take? ----
  struct Way {  // of running an implementation: warm or cold
    std::size_t implementation;
    bool cold;
    i64 calls = 1, next = 0;
    std::vector<double> times = {};
    int disturbed = 0;
  };
  double group(Way& way) {
    const Implementation<Context>& implementation = case_.implementations[way.implementation];
    const Choice choice(implementation);
    const double us = microseconds(context_, [&] {
      for (i64 i = 0; i < way.calls; ++i) call(implementation, way.cold ? way.next++ : 0);
    });
    return us / static_cast<double>(way.calls);
  }
  // On the CPU a group during which another program took a processor is timed again, a few times.
  void repeat(Way& way) {
    for (int attempt = 0;; ++attempt) {
      const long switches = involuntary_switches();
      const double us = group(way), seconds = us * static_cast<double>(way.calls) * 1e-6;
      const bool disturbed = !on_cuda<Context> && static_cast<double>(involuntary_switches() - switches) > 20 * seconds;
      if (disturbed && attempt < 8 && !interrupted) continue;
      way.disturbed += disturbed;
      way.times.push_back(us);
      return;
    }
  }
  void measure(CaseResult& result) {
    for (i64 k = 0; k < (case_.set_bytes ? sets_ : 0); ++k) fill_set(k);
    std::vector<Way> ways;
    for (std::size_t i = 0; i < case_.implementations.size(); ++i)
      for (const bool cold : {false, true})
        if (result.measured[i].valid && (!cold || case_.set_bytes)) ways.push_back({i, cold});
    for (Way& way : ways) {  // warming up, and how many calls fill a group
      for (double us = group(way); us * static_cast<double>(way.calls) < options_.group_ms * 500 && way.calls < (1 << 20) && !interrupted;
           us = group(way))
        way.calls = std::clamp(static_cast<i64>(options_.group_ms * 1000 / std::max(us, 1e-3)), way.calls + 1, way.calls * 16);
    }
    for (int round = 0; round < options_.repeats; ++round)
      for (Way& way : ways) {
        if (interrupted) return;
        repeat(way);
      }
    for (Way& way : ways)
      (way.cold ? result.measured[way.implementation].cold : result.measured[way.implementation].warm) =
          timing_of(way.times, way.calls, way.disturbed);
  }

  Context& context_;
  const Case<Context>& case_;
  const Options& options_;
  Device device_;
  std::vector<std::byte> start_;  // a set as it is before a kernel runs
  i64 sets_;
  std::optional<Arena>& arena_;
};

}  // namespace

template <class Context>
void run(Context& context, Report& report) {
  const Cases<Context> cases = every_case<Context>(report.options.sizes);
  if (!report.options.validate) report.ceilings = measure_ceilings(device_of(context), report.options.sizes == "small", [] { return interrupted != 0; });
  const std::size_t cache = last_cache_bytes(device_of(context));
  const long switches = involuntary_switches();
  const auto start = std::chrono::steady_clock::now();
  std::optional<Arena> arena;
  for (const Case<Context>& c : cases.all) {
    if (!selects(report.options.filter, c.family + "/" + c.name)) continue;
    if (interrupted) break;
    fmt::print(stderr, "{}/{}\n", c.family, c.name);
    const CaseResult result = Runner<Context>(context, c, report.options, cache, arena).run();
    for (const Measured& m : result.measured)
      if (!m.valid && m.skipped.empty())
        fmt::print(stderr, "{}/{}: {} is wrong: its error is {:.3g} of the largest value, expected {:.3g} at most\n", c.family, c.name,
                   m.implementation, m.error, m.bound);
    if (!interrupted || report.options.validate) report.cases.push_back(result);
  }
  report.interrupted = interrupted;
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report.involuntary_switches = involuntary_switches() - switches;
}

template Cases<Cpu> every_case(const std::string&);
template void run(Cpu&, Report&);
#ifdef MICA_CUDA
template Cases<Cuda> every_case(const std::string&);
template void run(Cuda&, Report&);
#endif

}  // namespace mica::bench
