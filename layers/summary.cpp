#include <mica/core/autograd.h>
#include <mica/layers/summary.h>

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace mica {
namespace {

struct Row {
  std::string layer;
  Shape output;
  std::int64_t parameters;
};

// Collects a row for every module without children, in the order they run.
struct Rows : ForwardObserver {
  std::vector<Row> rows;
  std::set<Module*> seen;
  std::int64_t mult_adds = 0, outputs = 0;

  void after(Module& module, const Tensor&, const Tensor& y) override {
    if (!module.children().empty()) return;
    const bool again = !seen.insert(&module).second;
    rows.push_back({fmt::format("{} ({})", module.path(), module.kind()), y.shape(), again ? 0 : module.parameter_count()});
    mult_adds += module.mult_adds(y.shape());
    if (rows.back().parameters > 0) outputs += y.numel();  // torchinfo counts layers with parameters
  }
};

}  // namespace

std::string grouped(std::int64_t value) {
  return value < 1000 ? fmt::format("{}", value) : fmt::format("{},{:03}", grouped(value / 1000), value % 1000);
}

std::string summary(Module& network, const Shape& input) {
  const std::vector<Tensor> parameters = network.parameters();
  const DType dtype = parameters.empty() ? DType::f32 : parameters.front().dtype();
  Rows rows;
  {
    const NoGrad no_grad;
    const EvalMode eval(network);
    network(Tensor::zeros(input, dtype, parameters.empty() ? Device::cpu() : parameters.front().device()));
  }
  const std::string line(72, '-');
  std::string text = fmt::format("{:<32}{:>24}{:>16}\n{}\n", "Layer (type)", "Output shape", "Parameters", line);
  for (const Row& row : rows.rows) {
    const std::string shape = to_string(row.output);
    const std::size_t wide = static_cast<std::size_t>(std::count(shape.begin(), shape.end(), '\xC3'));  // × is two bytes
    text += fmt::format("{:<32}{}{}{:>16}\n", row.layer, std::string(24 - std::min<std::size_t>(24, shape.size() - wide), ' '), shape,
                        grouped(row.parameters));
  }
  const std::int64_t count = network.parameter_count();
  const auto megabytes = [&](std::int64_t elements) { return static_cast<double>(elements) * static_cast<double>(size_of(dtype)) / 1e6; };
  const double in = megabytes(numel(input)), passes = megabytes(2 * rows.outputs), weights = megabytes(count);
  text += fmt::format("{}\nParameters: {} (all trainable)\nMult-adds: {}\n", line, grouped(count), grouped(rows.mult_adds));
  text += fmt::format("Input: {:.2f} MB, forward and backward: {:.2f} MB, parameters: {:.2f} MB, together: {:.2f} MB\n", in, passes,
                      weights, in + passes + weights);
  return text;
}

}  // namespace mica
