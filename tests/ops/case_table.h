// The table of cases that proves the ops, on every backend: at least forty for each op, with odd, prime, wide, empty and
// 1-sized shapes. A case is one line of JSON, from which its values are made by counter; the line repeats it:
//   MICA_CASE='{"op": "relu", "arguments": {"input": {"shape": [2, 3]}}}' build/release/tests/mica_tests "[ops]"
#pragma once

#include "op_table.h"

#include <mica/core/safetensors.h>

namespace mica::test {

// How an argument's values are made. All are reproducible, and those of one argument differ from the next one's.
enum class Fill {
  distinct,  // evenly spaced in (−2, 2), shuffled: no two equal, none near a kink at a multiple of 1/8
  positive,  // in (0.1, 4)
  integers,  // whole numbers from −3 to 3: every sum and product is exact, and equals abound
  special,   // ±∞, NaN, ±0, denormals, 1e20, −1e25 (their sum is not lost in rounding) and small numbers
  classes,   // i64 below `below`, and now and then −100
  indices,   // i64 below `below`
  probabilities,  // positive, summing to one along dimension 1
};

struct ArgumentSpec {
  Shape shape;
  Fill fill = Fill::distinct;
  std::int64_t below = 0;  // for classes and indices
};

struct OpCase {
  std::string id;  // <op>.<number>
  Attributes attributes;
  std::map<std::string, ArgumentSpec> specs;

  std::string line() const;          // JSON
  Arguments arguments() const;       // f64 and i64
  Outputs grad_outputs() const;      // distinct values of the outputs' shapes, found by a run
  bool has(Fill fill) const;
};

OpCase parse_case(const std::string& line);  // throws Error

// All cases, or the one of $MICA_CASE.
const std::vector<OpCase>& case_table();

Safetensors table_as_file();  // as case_file.h has it

}  // namespace mica::test
