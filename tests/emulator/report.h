// Every misuse that the emulator notices is explained on stderr, in a line that begins with "emulator: ".
#pragma once

namespace emulator {

void report(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace emulator
