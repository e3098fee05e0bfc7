// Every op by name, as a function of named arguments and attributes. Names and meanings are torch.nn.functional's, or
// torch's; global_avg_pool(input) is Mica's own. A new op is one row in op_table.cpp and its cases in a case_<family>.cpp,
// and is then tested by everything that walks the table.
#pragma once

#include "call.h"

#include <functional>

namespace mica::test {

using OpFunction = std::function<Outputs(Call&)>;
const std::map<std::string, OpFunction>& ops();

// Does the op give this argument a gradient? Not to running statistics, class weights and integers.
bool is_differentiable(const std::string& op, const std::string& argument, const Tensor& value);

Outputs call_op(const Arguments& arguments, const Attributes& attributes);  // as given, recorded

// One call, forward and, where gradients of outputs are given, backward. Arguments are copied to the device first, results
// back to the CPU.
struct OpResult {
  Outputs outputs;
  Arguments gradients;  // by argument
  Arguments buffers;    // running statistics afterwards
};
OpResult run_op(const Attributes& attributes, const Arguments& arguments, const Outputs& grad_outputs, Device device = {});

}  // namespace mica::test
