// Runs cases by the protocol of docs/performance.md: each implementation is checked against the f64 reference, warmed up, and timed
// (timer.h) in rounds in which the implementations take turns, warm (the same buffers again) and cold (around sets of buffers that
// together are larger than the last cache). CUDA events on a GPU, the steady clock on the CPU.
#pragma once

#include "case.h"

#include "../../examples/ceilings/ceilings.h"

#include <algorithm>
#include <csignal>

namespace mica::bench {

struct Options {
  std::string device = "auto", filter, sizes = "network", json;
  bool list = false, validate = false, figures = false;
  int threads = 0, repeats = 7;
  double group_ms = 10;   // what is timed at once: as many calls as take this long
  double time_limit = 0;  // seconds, then it stops as after Ctrl-C; 0: none
  // For tests: results are made wrong, implementations of this name throw, an emulated device's times are shown.
  bool plant_error = false, plant_times = false;
  std::string plant_failure;
};

// Microseconds a call: the median of the repeats, their quartiles and extremes.
struct Timing {
  double median, low, high, least, most;
  i64 calls;      // in each repeat
  int disturbed;  // repeats in which other programs took a processor, though they were tried again
  bool graph;     // were they replayed as a CUDA graph, and not made one by one?
  int repeats;
};
Timing timing_of(std::vector<double> microseconds, i64 calls, int disturbed, bool graph);

struct Measured {
  std::string implementation;
  Products products;
  std::string skipped = {};  // why it was not run, or nothing
  std::string failed = {};   // what it threw, or nothing
  double error = 0, bound = 0;
  bool valid = false;
  std::optional<Timing> warm = {}, cold = {};
};

struct CaseResult {
  std::string family, name;
  double bytes, flops;
  std::vector<Measured> measured;
  std::string failed = {};  // what was thrown by the case itself, or nothing
};

struct Report {
  Options options;
  std::optional<Ceilings> ceilings;
  std::vector<CaseResult> cases;
  bool interrupted = false;       // also while it runs
  double seconds = 0;             // that measuring took
  long involuntary_switches = 0;  // meanwhile (machine.h)
};

// All cases of all families.
template <class Context>
Cases<Context> every_case(const std::string& sizes);

// A case is looked for by a part of "family/name", or by a regular expression. Throws Error where nothing fits.
bool selects(const std::string& filter, const std::string& name);

extern volatile std::sig_atomic_t interrupted;  // set by Ctrl-C: what was measured is kept

// Says each case on stderr. Report.cases is filled as it goes, and after each case, and at the end, keep() is called, so that nothing
// is lost whatever comes then. What a case throws is in its result; after DeviceLost no other case is begun.
template <class Context>
void run(Context& context, Report& report, const std::function<void()>& keep);

}  // namespace mica::bench
