// What still lives when the program ends is reported, as LeakSanitizer does, and the program's status becomes 23.
#include "report.h"
#include "runtime.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace emulator {

void report_leaks() {
  Runtime& r = runtime();
  if (r.options.count)
    for (int kind = 0; kind < call_kinds; ++kind)
      report("%d of kind %s", count(static_cast<Call>(kind)), name_of(static_cast<Call>(kind)));
  if (r.sticky) return;  // in a broken context nothing can be freed
  bool leaked = report_leaked_blocks();
  const auto tell = [&](const char* kind, long n) {
    if (n > 0) report("leak: %ld %s", n, kind), leaked = true;
  };
  tell("stream(s)", r.streams.alive() - 1);  // not the legacy one
  tell("event(s)", r.events.alive());
  tell("graph(s)", r.graphs.alive());
  tell("executable graph(s)", r.executables.alive());
  for (const auto& [kind, n] : r.tracked) tell(kind.c_str(), n);
  if (leaked) std::fflush(nullptr), _exit(23);
}

}  // namespace emulator
