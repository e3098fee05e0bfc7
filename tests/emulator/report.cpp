#include "report.h"

#include <cstdarg>
#include <cstdio>

namespace emulator {

void report(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::fputs("emulator: ", stderr), std::vfprintf(stderr, format, arguments), std::fputc('\n', stderr);
  va_end(arguments);
}

}  // namespace emulator
