#include "op_table.h"

#include <mica/core/autograd.h>
#include <mica/core/error.h>
#include <mica/core/nearest.h>
#include <mica/core/random.h>

#include <fmt/format.h>

namespace mica::test {
namespace {

std::vector<int> dims(Call& c, const char* name = "dim") {
  std::vector<int> all;
  for (const std::int64_t dim : c.integers(name)) all.push_back(c.dimension(name, dim));
  return all;
}

std::optional<int> maybe_dim(Call& c) {
  const std::optional<std::int64_t> dim = c.maybe_integer("dim");
  return dim ? std::optional(c.dimension("dim", *dim)) : std::nullopt;
}

int dim(Call& c, std::optional<std::int64_t> otherwise = {}) { return c.dimension("dim", c.integer("dim", otherwise)); }

Reduction reduction(Call& c) {
  const std::string name = c.text("reduction", "mean");
  if (name != "mean" && name != "sum" && name != "none")
    throw Error(fmt::format("{}: attribute 'reduction' is {}, expected mean, sum or none", c.op(), name));
  return name == "mean" ? Reduction::mean : name == "sum" ? Reduction::sum : Reduction::none;
}

GeluApproximation approximation(Call& c) {
  const std::string name = c.text("approximate", "none");
  if (name != "none" && name != "tanh") throw Error(fmt::format("gelu: attribute 'approximate' is {}, expected none or tanh", name));
  return name == "tanh" ? GeluApproximation::tanh : GeluApproximation::none;
}

// max and min of all elements, or along a dimension with indices.
Outputs extremum(Call& c, Tensor (*all)(const Tensor&), ValuesAndIndices (*along)(const Tensor&, int, bool)) {
  const Tensor x = c.tensor("input");
  const bool keepdim = c.flag("keepdim", false);
  const std::optional<int> dim = maybe_dim(c);
  return dim ? Outputs(along(x, *dim, keepdim)) : Outputs(all(x));
}

Tensor scaled_other(Call& c) {
  const double alpha = c.number("alpha", 1.0);
  const Tensor other = c.tensor_or_number("other");
  return alpha == 1 ? other : other * alpha;
}

Outputs split_by(Call& c) {
  const Tensor x = c.has("input") ? c.tensor("input") : c.tensor("tensor");  // torch.split calls it tensor
  const std::vector<std::int64_t> sizes = c.integers("split_size_or_sections");
  const int along = dim(c, 0);
  if (sizes.empty()) throw Error("split: attribute 'split_size_or_sections' is missing or has no sizes");
  return c.is_list("split_size_or_sections") ? split(x, sizes, along) : split(x, sizes[0], along);
}

Outputs conv2d_of(Call& c) {
  const Tensor x = c.tensor("input"), weight = c.tensor("weight"), bias = c.optional("bias");
  const std::string padding = c.is_text("padding") ? c.text("padding", "") : "";
  const Conv2dOptions options{c.pair("stride", Pair{1, 1}), padding.empty() ? c.pair("padding", Pair{0, 0}) : Pair{0, 0},
                              c.pair("dilation", Pair{1, 1}), c.integer("groups", 1)};
  if (padding.empty() || padding == "valid") return conv2d(x, weight, bias, options);
  if (padding != "same") throw Error(fmt::format("conv2d: padding is {}, expected one or two numbers, valid or same", padding));
  if (options.stride != Pair{1, 1}) throw Error("conv2d: padding 'same' needs a stride of 1; give numbers, or leave stride out");
  return conv2d_same(x, weight, bias, options.dilation, options.groups);
}

}  // namespace

const std::map<std::string, OpFunction>& ops() {
  static const std::map<std::string, OpFunction> table{
      // elementwise
      {"add", [](Call& c) -> Outputs { return add(c.tensor("input"), scaled_other(c)); }},
      {"sub", [](Call& c) -> Outputs { return sub(c.tensor("input"), scaled_other(c)); }},
      {"mul", [](Call& c) -> Outputs { return mul(c.tensor("input"), c.tensor_or_number("other")); }},
      {"div", [](Call& c) -> Outputs { return div(c.tensor("input"), c.tensor_or_number("other")); }},
      {"pow",
       [](Call& c) -> Outputs {
         return c.has("exponent") ? pow(c.tensor("input"), c.tensor("exponent")) : pow(c.tensor("input"), c.number("exponent"));
       }},
      {"exp", [](Call& c) -> Outputs { return exp(c.tensor("input")); }},
      {"log", [](Call& c) -> Outputs { return log(c.tensor("input")); }},
      {"sqrt", [](Call& c) -> Outputs { return sqrt(c.tensor("input")); }},
      {"clamp", [](Call& c) -> Outputs { return clamp(c.tensor("input"), c.maybe_number("min"), c.maybe_number("max")); }},
      {"relu", [](Call& c) -> Outputs { return relu(c.tensor("input")); }},
      {"leaky_relu", [](Call& c) -> Outputs { return leaky_relu(c.tensor("input"), c.number("negative_slope", 0.01)); }},
      {"sigmoid", [](Call& c) -> Outputs { return sigmoid(c.tensor("input")); }},
      {"tanh", [](Call& c) -> Outputs { return tanh(c.tensor("input")); }},
      {"gelu", [](Call& c) -> Outputs { return gelu(c.tensor("input"), approximation(c)); }},
      {"dropout",
       [](Call& c) -> Outputs { return dropout(c.tensor("input"), c.number("p", 0.5), c.flag("training", true), random_key("op table")); }},
      // reductions
      {"sum", [](Call& c) -> Outputs { return sum(c.tensor("input"), dims(c), c.flag("keepdim", false)); }},
      {"mean", [](Call& c) -> Outputs { return mean(c.tensor("input"), dims(c), c.flag("keepdim", false)); }},
      {"amax", [](Call& c) -> Outputs { return amax(c.tensor("input"), dims(c), c.flag("keepdim", false)); }},
      {"amin", [](Call& c) -> Outputs { return amin(c.tensor("input"), dims(c), c.flag("keepdim", false)); }},
      {"max", [](Call& c) { return extremum(c, max, max); }},
      {"min", [](Call& c) { return extremum(c, min, min); }},
      {"argmax", [](Call& c) -> Outputs { return argmax(c.tensor("input"), maybe_dim(c), c.flag("keepdim", false)); }},
      {"argmin", [](Call& c) -> Outputs { return argmin(c.tensor("input"), maybe_dim(c), c.flag("keepdim", false)); }},
      // products
      {"matmul", [](Call& c) -> Outputs { return matmul(c.tensor("input"), c.tensor("other")); }},
      {"linear", [](Call& c) -> Outputs { return linear(c.tensor("input"), c.tensor("weight"), c.optional("bias")); }},
      {"conv2d", conv2d_of},
      // rearranging
      {"reshape", [](Call& c) -> Outputs { return c.tensor("input").reshape(c.integers("shape")); }},
      {"permute",
       [](Call& c) -> Outputs { return permute(c.tensor("input"), dims(c, "dims")); }},
      {"transpose",
       [](Call& c) -> Outputs {
         return transpose(c.tensor("input"), c.dimension("dim0", c.integer("dim0")), c.dimension("dim1", c.integer("dim1")));
       }},
      {"broadcast_to", [](Call& c) -> Outputs { return broadcast_to(c.tensor("input"), c.integers("size")); }},
      {"cat", [](Call& c) -> Outputs { return cat(c.tensors("tensors"), dim(c, 0)); }},
      {"stack", [](Call& c) -> Outputs { return stack(c.tensors("tensors"), dim(c, 0)); }},
      {"split", split_by},
      {"gather", [](Call& c) -> Outputs { return gather(c.tensor("input"), dim(c), c.tensor("index")); }},
      // pooling
      {"max_pool2d",
       [](Call& c) -> Outputs {
         return max_pool2d(c.tensor("input"), {c.pair("kernel_size"), c.maybe_pair("stride"), c.pair("padding", Pair{0, 0}),
                                               c.pair("dilation", Pair{1, 1}), c.flag("ceil_mode", false)});
       }},
      {"avg_pool2d",
       [](Call& c) -> Outputs {
         return avg_pool2d(c.tensor("input"), {c.pair("kernel_size"), c.maybe_pair("stride"), c.pair("padding", Pair{0, 0}), c.flag("ceil_mode", false),
                                               c.flag("count_include_pad", true), c.maybe_integer("divisor_override")});
       }},
      {"adaptive_avg_pool2d", [](Call& c) -> Outputs { return adaptive_avg_pool2d(c.tensor("input"), c.maybe_sizes("output_size")); }},
      {"global_avg_pool", [](Call& c) -> Outputs { return global_avg_pool(c.tensor("input")); }},
      // normalisation
      {"batch_norm",
       [](Call& c) -> Outputs {
         return batch_norm(c.tensor("input"), c.optional("weight"), c.optional("bias"), c.optional("running_mean"), c.optional("running_var"),
                           {c.flag("training", false), c.number("momentum", 0.1), c.number("eps", 1e-5), false, {}});
       }},
      {"layer_norm",
       [](Call& c) -> Outputs {
         return layer_norm(c.tensor("input"), c.integers("normalized_shape"), c.optional("weight"), c.optional("bias"), c.number("eps", 1e-5));
       }},
      {"softmax", [](Call& c) -> Outputs { return softmax(c.tensor("input"), dim(c)); }},
      {"log_softmax", [](Call& c) -> Outputs { return log_softmax(c.tensor("input"), dim(c)); }},
      // losses
      {"nll_loss",
       [](Call& c) -> Outputs {
         return nll_loss(c.tensor("input"), c.tensor("target"), {c.optional("weight"), c.integer("ignore_index", -100), reduction(c)});
       }},
      {"cross_entropy",
       [](Call& c) -> Outputs {
         return cross_entropy(c.tensor("input"), c.tensor("target"),
                              {c.optional("weight"), c.integer("ignore_index", -100), reduction(c), c.number("label_smoothing", 0.0)});
       }},
      {"mse_loss", [](Call& c) -> Outputs { return mse_loss(c.tensor("input"), c.tensor("target"), reduction(c)); }},
      {"l1_loss", [](Call& c) -> Outputs { return l1_loss(c.tensor("input"), c.tensor("target"), reduction(c)); }},
      {"huber_loss",
       [](Call& c) -> Outputs { return huber_loss(c.tensor("input"), c.tensor("target"), c.number("delta", 1.0), reduction(c)); }},
  };
  return table;
}

bool is_differentiable(const std::string& op, const std::string& argument, const Tensor& value) {
  const bool class_weight = argument == "weight" && (op == "nll_loss" || op == "cross_entropy");
  return is_floating(value.dtype()) && argument.rfind("running_", 0) != 0 && !class_weight;
}

Outputs call_op(const Arguments& arguments, const Attributes& attributes) {
  Call call(arguments, attributes);
  const auto op = ops().find(call.op());
  if (op == ops().end()) {
    std::vector<std::string> known;
    for (const auto& [name, function] : ops()) known.push_back(name);
    const std::string near = nearest_name(call.op(), known);
    throw Error(fmt::format("the op '{}' is not known{}", call.op(), near.empty() ? "" : ", did you mean '" + near + "'?"));
  }
  Outputs outputs = op->second(call);
  call.finish();
  return outputs;
}

OpResult run_op(const Attributes& attributes, const Arguments& given, const Outputs& grad_outputs, Device device) {
  Arguments arguments;
  const std::string op = attributes.value("op", "");
  for (const auto& [name, value] : given) {
    arguments[name] = value.clone().to(device);
    if (is_differentiable(op, name, value)) arguments[name].set_requires_grad();
  }
  OpResult result;
  result.outputs = call_op(arguments, attributes);
  std::vector<Tensor> roots, gys;
  for (const auto& [name, gy] : grad_outputs)
    if (const auto y = result.outputs.find(name); y != result.outputs.end() && y->second.requires_grad()) roots.push_back(y->second), gys.push_back(gy.to(device));
  backward(roots, gys);
  for (auto& [name, y] : result.outputs) y = y.detach().to(Device::cpu());
  for (const auto& [name, value] : arguments) {
    if (is_differentiable(op, name, value) && !grad_outputs.empty())
      result.gradients[name] = value.grad().defined() ? value.grad().to(Device::cpu()) : Tensor::zeros(value.shape(), value.dtype());
    else if (name.rfind("running_", 0) == 0) result.buffers[name] = value.to(Device::cpu());
  }
  return result;
}

}  // namespace mica::test
