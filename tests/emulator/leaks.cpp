// What still lives when the program ends is reported, as LeakSanitizer does, and the program's status becomes 23.
#include "report.h"
#include "runtime.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace emulator {

void report_leaks() {
  Runtime& r = runtime();
  if (r.sticky) return;  // in a broken context nothing can be freed
  bool leaked = report_leaked_blocks();
  const auto count = [&](const char* kind, long n) {
    if (n > 0) report("leak: %ld %s", n, kind), leaked = true;
  };
  count("stream(s)", r.streams.alive() - 1);  // not the legacy one
  count("event(s)", r.events.alive());
  count("graph(s)", r.graphs.alive());
  count("executable graph(s)", r.executables.alive());
  for (const auto& [kind, n] : r.tracked) count(kind.c_str(), n);
  if (leaked) std::fflush(nullptr), _exit(23);
}

}  // namespace emulator
