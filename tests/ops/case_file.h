// Cases in a safetensors file, by which other programs give Mica's ops work and check it.
//   metadata: case id → JSON text of op and attributes
//   tensors:  <id>.<argument> (lists <id>.tensors.0, …), <id>.grad_output (several outputs: <id>.grad_output.0, …)
// and its answers, in the same form:
//   <id>.output (.0, …), <id>.indices, <id>.grad.<argument>, <id>.running_mean and _var; metadata <id>.error: the message
#pragma once

#include "op_table.h"

#include <mica/core/safetensors.h>

namespace mica::test {

struct FileCase {
  std::string id, text;  // text: the JSON
  Arguments arguments;
  Outputs grad_outputs;
};

// Throws FileError where a tensor belongs to no case.
std::vector<FileCase> read_cases(const Safetensors& file);

// Runs every case on this device; a case's error is its answer.
Safetensors run_cases(const std::vector<FileCase>& cases, Device device = {});

}  // namespace mica::test
