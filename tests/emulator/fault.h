// Accesses that the page protection of memory.h refuses: either running work is let in, or a line says what was accessed and by
// whom, and the program ends as without the emulator: by AddressSanitizer's report with its stack trace, or a core dump.
#pragma once

namespace emulator {

void handle_faults();  // from now on, until the program sets a handler of its own for SIGSEGV, as Catch2 does for each test

}  // namespace emulator
