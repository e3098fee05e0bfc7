// The cases that the op table is tested with: the stored PyTorch ones, which have odd, prime, wide and 1-sized shapes.
#pragma once

#include "op_table.h"

namespace mica::test {

struct OpCase {
  std::string id;
  Attributes attributes;
  Arguments arguments;
  Tensor grad_output;
  OpResult expected;  // PyTorch's, f64
};

const std::vector<OpCase>& stored_cases();

// What repeats a case by hand: its id, attributes and shapes.
std::string describe(const OpCase& c);

}  // namespace mica::test
