#include "op_table.h"

#include <mica/core/ops.h>

namespace mica::test {
namespace {



Tensor optional(const Arguments& arguments, const std::string& name) {
  const auto found = arguments.find(name);
  return found == arguments.end() ? Tensor() : found->second;
}

}  // namespace

const std::map<std::string, OpFunction>& ops() {
  using A = const Arguments&;
  using J = const Attributes&;
  static const std::map<std::string, OpFunction> table{
      {"add", [](A a, J) { return add(a.at("input"), a.at("other")); }},
      {"sub", [](A a, J) { return sub(a.at("input"), a.at("other")); }},
      {"mul", [](A a, J) { return mul(a.at("input"), a.at("other")); }},
      {"div", [](A a, J) { return div(a.at("input"), a.at("other")); }},
      {"relu", [](A a, J) { return relu(a.at("input")); }},
      {"sum", [](A a, J j) { return sum(a.at("input"), j.value("dim", std::vector<int>()), j.value("keepdim", false)); }},
      {"mean", [](A a, J j) { return mean(a.at("input"), j.value("dim", std::vector<int>()), j.value("keepdim", false)); }},
      {"conv2d",
       [](A a, J j) {
         return conv2d(a.at("input"), a.at("weight"), optional(a, "bias"),
                       {j.value("stride", Pair{1, 1}), j.value("padding", Pair{0, 0}), j.value("dilation", Pair{1, 1}),
                        j.value("groups", std::int64_t{1})});
       }},
      {"batch_norm",
       [](A a, J j) {
         return batch_norm(a.at("input"), a.at("weight"), a.at("bias"), optional(a, "running_mean"), optional(a, "running_var"),
                           {j.value("training", false), j.value("momentum", 0.1), j.value("eps", 1e-5), false, {}});
       }},
      {"max_pool2d",
       [](A a, J j) {
         return max_pool2d(a.at("input"), {j.at("kernel_size").get<Pair>(), j.contains("stride") ? std::optional<Pair>(j.at("stride").get<Pair>()) : std::nullopt, j.value("padding", Pair{0, 0}),
                                           j.value("dilation", Pair{1, 1})});
       }},
      {"global_avg_pool", [](A a, J) { return global_avg_pool(a.at("input")); }},
      {"linear", [](A a, J) { return linear(a.at("input"), a.at("weight"), optional(a, "bias")); }},
      {"log_softmax", [](A a, J j) { return log_softmax(a.at("input"), j.at("dim").get<int>()); }},
      {"nll_loss", [](A a, J) { return nll_loss(a.at("input"), a.at("target")); }},
  };
  return table;
}

bool is_differentiable(const std::string& argument, const Tensor& value) {
  return is_floating(value.dtype()) && argument.rfind("running_", 0) != 0;
}

OpResult run_op(const Attributes& attributes, const Arguments& given, const Tensor& grad_output) {
  Arguments arguments;
  for (const auto& [name, value] : given) {
    arguments[name] = value.clone();
    if (is_differentiable(name, value)) arguments[name].set_requires_grad();
  }
  OpResult result;
  result.output = ops().at(attributes.at("op").get<std::string>())(arguments, attributes);
  if (grad_output.defined()) result.output.backward(grad_output);
  for (const auto& [name, value] : arguments) {
    if (is_differentiable(name, value)) result.gradients[name] = value.grad();
    else if (is_floating(value.dtype())) result.buffers[name] = value;
  }
  return result;
}

}  // namespace mica::test
