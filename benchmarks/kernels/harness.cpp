#include "harness.h"

#include "families.h"
#include "timer.h"

#include <mica/core/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <mutex>
#include <regex>

namespace mica::bench {

volatile std::sig_atomic_t interrupted = 0;

Timing timing_of(std::vector<double> us, i64 calls, int disturbed, bool graph) {
  std::sort(us.begin(), us.end());
  const auto quantile = [&](double q) {
    const double at = q * static_cast<double>(us.size() - 1);
    const auto below = static_cast<std::size_t>(at);
    const double part = at - static_cast<double>(below);
    return us[below] + part * (us[std::min(below + 1, us.size() - 1)] - us[below]);
  };
  return {quantile(0.5), quantile(0.25), quantile(0.75), us.front(), us.back(), calls, disturbed, graph, static_cast<int>(us.size())};
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

std::string why_no_library(const std::string& implementation) {
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
kernels::LibraryOps library_ops(const Context& context) {
  if constexpr (on_cuda<Context>) return context.library_ops();
  else return {};
}

void say_what_is_wrong(const CaseResult& result) {
  const std::string name = result.family + "/" + result.name;
  for (const Measured& m : result.measured)
    if (!m.failed.empty())
      fmt::print(stderr, "{}: {} failed: {}\n", name, m.implementation, m.failed);
    else if (!m.valid && m.skipped.empty())
      fmt::print(stderr, "{}: {} is wrong: its error is {:.3g} of the largest value, expected {:.3g} at most\n", name, m.implementation, m.error,
                 m.bound);
  if (!result.failed.empty()) fmt::print(stderr, "{} failed: {}\n", name, result.failed);
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

  void run(std::vector<Measured>& measured) {
    std::optional<Reference> reference;
    if (case_.reference) case_.reference(reference.emplace(start_));
    for (const Implementation<Context>& implementation : case_.implementations) {
      Measured& m = measured.emplace_back(Measured{implementation.name, implementation.products, why_skipped(implementation)});
      m.bound = implementation.tolerance.value_or(case_.tolerance);
      if (m.skipped.empty()) attempt(m, [&] { check(implementation, reference, m); });
    }
    if (options_.validate || interrupted) return;
    for (i64 k = 0; k < (case_.set_bytes ? sets_ : 0); ++k) fill_set(k);
    Timer<Context>(context_, case_, options_, sets_, [&](const auto& implementation, i64 index) { call(implementation, index); }).measure(measured);
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
  std::string why_skipped(const Implementation<Context>& implementation) const {
    if (case_.tensor_cores && !has_tensor_cores(context_)) return "this device has no tensor cores for TF32";
    return why_no_library(implementation.name);
  }

  // ---- is it right? ----
  void check(const Implementation<Context>& implementation, const std::optional<Reference>& reference, Measured& m) {
    if (implementation.name == options_.plant_failure) throw Error("planted");
    const Choice choice(implementation);
    const kernels::LibraryOps before = library_ops(context_);
    if (implementation.error) {
      m.error = implementation.error();
    } else {
      fill_set(0);
      call(implementation, 0);
      m.error = worst(implementation, *reference);
    }
    if (on_cuda<Context> && implementation.policy == kernels::Policy::library) m.skipped = why_not_by_library(implementation, before);
    m.valid = m.skipped.empty() && m.error <= m.bound;
  }

  // Where a library refuses an op, our own kernel does it: then this is no figure of the library's. Of a whole step some ops may be so.
  std::string why_not_by_library(const Implementation<Context>& implementation, const kernels::LibraryOps& before) {
    const kernels::LibraryOps now = library_ops(context_);
    const bool refused = now.refused > before.refused && !implementation.error;
    return refused || now.done == before.done ? implementation.name.substr(0, implementation.name.find(' ')) + " has no kernel for this" : "";
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
void run(Context& context, Report& report, const std::function<void()>& keep) {
  const auto start = std::chrono::steady_clock::now();
  const long switches = involuntary_switches();
  const auto now = [&](bool cut_short) {
    report.interrupted = cut_short;
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    report.involuntary_switches = involuntary_switches() - switches;
    keep();
  };
  Cases<Context> cases = every_case<Context>(report.options.sizes);
  std::erase_if(cases.all, [&](const Case<Context>& c) { return !selects(report.options.filter, c.family + "/" + c.name); });
  if (!report.options.validate) report.ceilings = measure_ceilings(device_of(context), report.options.sizes == "small", [] { return interrupted != 0; });
  const std::size_t cache = last_cache_bytes(device_of(context));
  std::optional<Arena> arena;
  bool lost = false;
  now(true);
  for (std::size_t k = 0; k < cases.all.size() && !interrupted && !lost; ++k) {
    const Case<Context>& c = cases.all[k];
    fmt::print(stderr, "{}/{} ({} of {}, after {:.1f} s)\n", c.family, c.name, k + 1, cases.all.size(),
               std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    CaseResult result{c.family, c.name, c.bytes, c.flops, {}};
    try {
      Runner<Context>(context, c, report.options, cache, arena).run(result.measured);
    } catch (const std::exception& error) {
      lost = dynamic_cast<const DeviceLost*>(&error) != nullptr;
      const bool told = std::ranges::any_of(result.measured, [](const Measured& m) { return !m.failed.empty(); });
      if (!lost || !told) result.failed = error.what();
    }
    say_what_is_wrong(result);
    if (!interrupted || report.options.validate || !result.failed.empty()) report.cases.push_back(result);
    now(true);
  }
  now(interrupted || lost);
}

template Cases<Cpu> every_case(const std::string&);
template void run(Cpu&, Report&, const std::function<void()>&);
#ifdef MICA_CUDA
template Cases<Cuda> every_case(const std::string&);
template void run(Cuda&, Report&, const std::function<void()>&);
#endif

}  // namespace mica::bench
