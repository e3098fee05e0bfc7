// What was measured, as a table in Markdown and as JSON (schema 1, described in docs/microbenchmarks.md).
#pragma once

#include "harness.h"
#include "machine.h"

namespace mica::bench {

void print_table(const Report& report, const Machine& machine);
void print_list(const Report& report);  // of cases: bytes, FLOP, implementations

// Bytes and FLOP of each case against a GPU's data sheet: what is known without one. No times.
void print_roofline(const Report& report);

// Replaces the file as a whole, so that there is a valid one at any time; throws FileError where it cannot be written. `-` is standard output.
void write_json(const Report& report, const Machine& machine);

}  // namespace mica::bench
