// Every op by name, as a function of named arguments and attributes. Names and meanings are torch.nn.functional's, or
// torch's; global_avg_pool(input) is Mica's own. A new op is one row in op_table.cpp, and is then tested by everything
// that walks the table.
#pragma once

#include <mica/core/tensor.h>

#include <nlohmann/json.hpp>

#include <functional>
#include <map>
#include <string>

namespace mica::test {

using Arguments = std::map<std::string, Tensor>;  // absent ones are not there
using Attributes = nlohmann::json;                // {"op": "conv2d", "stride": [2, 1], …}

using OpFunction = std::function<Tensor(const Arguments&, const Attributes&)>;
const std::map<std::string, OpFunction>& ops();

// Does the op give this argument a gradient?
bool is_differentiable(const std::string& argument, const Tensor& value);

// One call, forward and backward. Arguments are copied first.
struct OpResult {
  Tensor output;
  Arguments gradients;  // by argument
  Arguments buffers;    // running statistics afterwards
};
OpResult run_op(const Attributes& attributes, const Arguments& arguments, const Tensor& grad_output);

}  // namespace mica::test
