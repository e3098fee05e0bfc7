// Every op of the table on every case: f64 against PyTorch, f64 against finite differences, f32 against f64; whole
// numbers to the bit between implementations and thread counts; arguments unchanged.
#include "agreement.h"

#include <mica/core/autograd.h>
#include <mica/core/context.h>
#include <mica/core/settings.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>

using namespace mica;
using namespace mica::test;

namespace {

struct Expected {
  std::string line;
  Outputs outputs;
  Arguments gradients, buffers;
};

// PyTorch's results by case id (tests/pytorch/make_vectors.py).
const std::map<std::string, Expected>& expected() {
  static const std::map<std::string, Expected> all = [] {
    std::map<std::string, Expected> by_id;
    const Safetensors file = load_safetensors(MICA_TEST_VECTORS "/ops.safetensors");
    for (const auto& [id, line] : file.metadata) by_id[id].line = line;
    for (const auto& [key, tensor] : file.tensors) {
      const std::size_t dot = key.find('.', key.find('.') + 1);  // ids are <op>.<number>
      Expected& e = by_id.at(key.substr(0, dot));
      const std::string name = key.substr(dot + 1);
      if (name.rfind("grad.", 0) == 0) e.gradients[name.substr(5)] = tensor;
      else if (name.rfind("running_", 0) == 0) e.buffers[name] = tensor;
      else e.outputs[name] = tensor;
    }
    return by_id;
  }();
  return all;
}

}  // namespace

TEST_CASE("every op has forty cases, and none that is alike", "[ops]") {
  if (std::getenv("MICA_CASE")) return;
  std::map<std::string, int> count;
  std::map<std::string, std::string> lines;
  for (const OpCase& c : case_table()) {
    ++count[c.attributes.at("op").get<std::string>()];
    INFO(c.line() << " is " << c.id << " and " << lines[c.line()]);
    CHECK(lines[c.line()].empty());
    lines[c.line()] = c.id;
  }
  for (const auto& [name, function] : ops()) {
    INFO(name);
    CHECK(count[name] >= 40);
  }
}

TEST_CASE("a case's line makes the same case again", "[ops]") {
  for (const OpCase& c : case_table()) {
    const OpCase again = parse_case(c.line());
    verify(c, "the line", again.line() == c.line());
    const Arguments before = c.arguments(), after = again.arguments();
    for (const auto& [name, x] : before) verify(c, name, same_bits(x, after.at(name)));
  }
}

TEST_CASE("f64 ops equal PyTorch's", "[ops]") {
  for (const OpCase& c : case_table()) {
    const auto found = expected().find(c.id);
    if (found == expected().end() && std::getenv("MICA_CASE")) continue;  // a case of one's own has no stored result
    INFO("PyTorch's stored result is missing or of another case; run tests/pytorch/make_vectors.py");
    REQUIRE(found != expected().end());
    REQUIRE(found->second.line == c.line());
    const OpResult got = run_op(c.attributes, c.arguments(), c.grad_outputs());
    verify(c, "the number of outputs", got.outputs.size() == found->second.outputs.size());
    for (const auto& [name, output] : found->second.outputs) verify(c, name, compare(got.outputs.at(name), output), 1e-13);
    verify(c, "the number of gradients", got.gradients.size() == found->second.gradients.size());
    for (const auto& [name, gradient] : found->second.gradients)
      verify(c, "gradient of " + name, compare(got.gradients.at(name), gradient), 1e-12 * gradient_scale(c.grad_outputs(), gradient));
    for (const auto& [name, buffer] : found->second.buffers) verify(c, name, compare(got.buffers.at(name), buffer), 1e-14);
  }
}

namespace {

// Σ output · grad_output over all outputs
double weighted_sum(const OpCase& c, const Arguments& arguments, const Outputs& grad_outputs) {
  const NoGrad no_grad;
  Arguments copies;
  for (const auto& [name, value] : arguments) copies[name] = value.clone();  // running statistics are changed in place
  double total = 0;
  const Outputs outputs = call_op(copies, c.attributes);
  for (const auto& [name, gy] : grad_outputs) total += sum(mul(outputs.at(name), gy)).item<double>();
  return total;
}

// Whole numbers tie and lie on kinks, where differences mean nothing; special values have none.
bool is_smooth(const OpCase& c) { return !c.has(Fill::integers) && !c.has(Fill::special); }

void check_differences(const OpCase& c, const std::string& name, const Tensor& gradient, const Arguments& arguments, const Outputs& gy) {
  const std::vector<double> analytic = values(gradient), start = values(arguments.at(name));
  const std::size_t step = std::max<std::size_t>(1, start.size() / 23);  // up to about 23 elements of each argument
  for (std::size_t i = 0; i < start.size(); i += step) {
    const double h = 1e-5;
    double side[2];
    for (int s = 0; s < 2; ++s) {
      std::vector<double> moved = start;
      moved[i] += s ? -h : h;
      Arguments changed = arguments;
      changed[name] = Tensor::from<double>(moved, arguments.at(name).shape());
      side[s] = weighted_sum(c, changed, gy);
    }
    // Rounding: 1e-16 of the sum over h; curvature: h² of the third derivative.
    const double numeric = (side[0] - side[1]) / (2 * h);
    verify(c, fmt::format("gradient {} of {}, element {}: numeric {}", analytic[i], name, i, numeric), std::abs(numeric - analytic[i]),
           3e-8 * std::max(1.0, largest(gradient)));
  }
}

}  // namespace

TEST_CASE("f64 gradients equal finite differences", "[ops]") {
  std::map<std::string, int> checked, zero;
  for (const OpCase& c : case_table()) {
    if (!is_smooth(c)) continue;
    const Arguments arguments = c.arguments();
    const Outputs gy = c.grad_outputs();
    if (std::isnan(weighted_sum(c, arguments, gy))) continue;  // a mean of nothing
    const OpResult got = run_op(c.attributes, arguments, gy);
    for (const auto& [name, gradient] : got.gradients) {
      if (gradient.numel() == 0) continue;
      INFO("gradient of " << name);
      const std::string what = c.attributes.at("op").get<std::string>() + " " + name;
      ++checked[what];
      zero[what] += largest(gradient) < 1e-9;
      check_differences(c, name, gradient, arguments, gy);
    }
  }
  // Some gradients are truly zero (softmax of one class, a clamp's far side); one that mostly is would prove nothing.
  for (const auto& [what, count] : checked) {
    INFO(what << ": " << zero[what] << " of " << count << " gradients are zero");
    if (what.rfind("argm", 0) == 0) CHECK(zero[what] == count);
    else if (!std::getenv("MICA_CASE")) CHECK(2 * zero[what] < count);
  }
}

TEST_CASE("f32 ops equal f64 within f32's precision", "[ops]") {
  for (const OpCase& c : case_table()) {
    if (c.has(Fill::special)) continue;
    // Both start from the values that f32 can hold.
    const Arguments narrow = in_dtype(c.arguments(), DType::f32), same_values = in_dtype(narrow, DType::f64);
    const Outputs gy = in_dtype(c.grad_outputs(), DType::f32);
    const OpResult got = run_op(c.attributes, narrow, gy), want = run_op(c.attributes, same_values, in_dtype(gy, DType::f64));
    for (const auto& [name, output] : want.outputs) {
      const Tensor& y = got.outputs.at(name);
      verify(c, name + "'s dtype", is_floating(output.dtype()) ? y.dtype() == DType::f32 : same_bits(y, output));
      verify(c, name, compare(y, output), 2e-6);  // sums of up to 200 terms, each rounded to 6e-8
    }
    for (const auto& [name, gradient] : want.gradients)
      verify(c, "gradient of " + name, compare(got.gradients.at(name), gradient), 5e-6 * gradient_scale(gy, gradient));
  }
}

TEST_CASE("f32 ops treat special values as f64 does", "[ops]") {
  for (const OpCase& c : case_table()) {
    if (!c.has(Fill::special)) continue;
    const Arguments narrow = in_dtype(c.arguments(), DType::f32);
    const Outputs gy = in_dtype(c.grad_outputs(), DType::f32);
    const OpResult got = run_op(c.attributes, narrow, gy), want = run_op(c.attributes, in_dtype(narrow, DType::f64), in_dtype(gy, DType::f64));
    const auto rounded = [](const Tensor& x) { return is_floating(x.dtype()) ? x.detach().to(DType::f32) : x; };  // what f32 cannot hold is ∞ or 0
    for (const auto& [name, output] : want.outputs) verify(c, name, difference_with_specials(got.outputs.at(name), rounded(output)), 2e-6);
    for (const auto& [name, gradient] : want.gradients)
      verify(c, "gradient of " + name, difference_with_specials(got.gradients.at(name), rounded(gradient)), 5e-6);
  }
}

TEST_CASE("whole numbers give the same bits by every implementation, precision and thread count", "[ops]") {
  const int threads = num_threads();
  int trusted = 0;
  for (const OpCase& c : case_table()) {
    if (!c.has(Fill::integers) || !is_exact(c.attributes.at("op"))) continue;
    const Arguments narrow = in_dtype(c.arguments(), DType::f32);
    const Outputs gy = in_dtype(c.grad_outputs(), DType::f32);
    const OpResult exact = run_op(c.attributes, c.arguments(), c.grad_outputs());  // f64: the definition
    for (const Policy policy : {Policy::automatic, Policy::native, Policy::library})
      for (const int count : {1, 2, 3, 5}) {
        set_policy(policy);
        set_num_threads(count);
        const OpResult got = run_op(c.attributes, narrow, gy);
        const std::vector<Tensor> want = everything(exact), have = everything(got);
        REQUIRE(have.size() == want.size());
        for (std::size_t i = 0; i < have.size(); ++i) {
          verify(c, fmt::format("result {} with policy {} and {} threads", i, static_cast<int>(policy), count), difference_with_specials(have[i], want[i].to(have[i].dtype())), 0);
        }
      }
    set_policy(Policy::automatic);
    set_num_threads(threads);
    // Zeros would agree whatever was computed.
    const Tensor& y = exact.outputs.begin()->second;
    const std::vector<double> v = values(y);
    trusted += std::count_if(v.begin(), v.end(), [](double x) { return x != 0; }) * 3 > static_cast<std::ptrdiff_t>(v.size());
    if (v.size() >= 12) verify(c, "almost all results are zero: trust", std::count_if(v.begin(), v.end(), [](double x) { return x != 0; }) * 10 > static_cast<std::ptrdiff_t>(v.size()));
  }
  if (!std::getenv("MICA_CASE")) CHECK(trusted > 300);
}

TEST_CASE("ops give the same bits with every thread count", "[ops]") {
  const int threads = num_threads();
  set_policy(Policy::native);  // oneDNN plans by the number of threads
  for (const OpCase& c : case_table()) {
    const Arguments narrow = in_dtype(c.arguments(), DType::f32);
    const Outputs gy = in_dtype(c.grad_outputs(), DType::f32);
    set_num_threads(1);
    const OpResult one = run_op(c.attributes, narrow, gy);
    set_num_threads(3);
    verify(c, "the result of three threads", all_same_bits(run_op(c.attributes, narrow, gy), one));
  }
  set_policy(Policy::automatic);
  set_num_threads(threads);
}

TEST_CASE("large ops give the same bits with every thread count", "[ops]") {
  if (std::getenv("MICA_CASE")) return;
  const int threads = num_threads();
  std::ifstream file(MICA_BENCHMARK_CASES);  // of every op, and large enough for several threads
  std::set<std::string> tested;
  set_policy(Policy::native);
  for (const nlohmann::json& line : nlohmann::json::parse(file)) {
    const OpCase c = parse_case(line.dump());
    tested.insert(c.attributes.at("op").get<std::string>());
    const Arguments narrow = in_dtype(c.arguments(), DType::f32);
    const Outputs gy = in_dtype(c.grad_outputs(), DType::f32);
    set_num_threads(1);
    const OpResult one = run_op(c.attributes, narrow, gy);
    for (const int count : {2, 3}) {
      set_num_threads(count);
      verify(c, fmt::format("the result of {} threads", count), all_same_bits(run_op(c.attributes, narrow, gy), one));
    }
  }
  set_policy(Policy::automatic);
  set_num_threads(threads);
  for (const auto& [name, function] : ops()) {
    INFO(name);
    CHECK(tested.count(name) == 1);
  }
}

TEST_CASE("equal elements give equal results, wherever they stand", "[ops]") {
  for (const char* op : {"add", "mul", "div", "pow", "exp", "log", "sqrt", "sigmoid", "tanh", "gelu", "leaky_relu", "clamp", "softmax", "log_softmax", "mse_loss", "huber_loss"}) {
    const std::string name = op;
    const bool binary = name == "add" || name == "mul" || name == "div" || name == "pow", loss = name == "mse_loss" || name == "huber_loss";
    Attributes attributes{{"op", op}};
    if (name == "clamp") attributes["min"] = 0.5;
    if (name.find("softmax") != std::string::npos) attributes["dim"] = 0;
    if (loss) attributes["reduction"] = "none";
    for (const double value : {0.8871, 2.5097, 3.9993})
      for (std::int64_t n = 1; n <= 40; ++n) {
        Arguments arguments{{"input", Tensor::full({n}, name == "log" || name == "sqrt" || name == "pow" ? value : -value)}};
        if (binary || loss) arguments[loss ? "target" : name == "pow" ? "exponent" : "other"] = Tensor::full({n}, 1.37);
        const OpResult r = run_op(attributes, arguments, Tensor::full({n}, 0.7));
        for (const Tensor& x : everything(r)) {
          const std::vector<double> v = values(x);
          INFO(op << " of " << n << " times " << value);
          CHECK(std::all_of(v.begin(), v.end(), [&](double one) { return one == v[0]; }));
        }
      }
  }
}

TEST_CASE("ops leave their arguments unchanged", "[ops]") {
  for (const OpCase& c : case_table()) {
    const std::string op = c.attributes.at("op");
    Arguments arguments = c.arguments(), before = c.arguments();
    for (auto& [name, value] : arguments)
      if (is_differentiable(op, name, value)) value.set_requires_grad();
    const Outputs outputs = call_op(arguments, c.attributes), gy = c.grad_outputs(), gy_before = c.grad_outputs();
    std::vector<Tensor> roots, gys;
    for (const auto& [name, one] : gy)
      if (outputs.at(name).requires_grad()) roots.push_back(outputs.at(name)), gys.push_back(one);
    backward(roots, gys);
    for (const auto& [name, value] : gy_before) verify(c, "gradient of " + name, same_bits(gy.at(name), value));
    for (const auto& [name, value] : before) {
      if (name.rfind("running_", 0) != 0) verify(c, "argument " + name, same_bits(arguments.at(name).detach(), value));
    }
  }
}
