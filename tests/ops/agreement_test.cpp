// Every op of the table on every case: f64 against PyTorch, f64 against finite differences, f32 against f64; whole
// numbers to the bit between implementations and thread counts; arguments unchanged.
#include "../project_file.h"
#include "agreement.h"
#include "differences.h"

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
    const Safetensors file = load_safetensors(project_file("tests/pytorch/ops.safetensors"));
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

TEST_CASE("f64 gradients equal finite differences", "[ops]") {
  GradientCheck check(Device::cpu(), 23);
  for (const OpCase& c : case_table()) check.add(c);
  check.require_nonzero();
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
  std::ifstream file(project_file("benchmarks/ops.json"));  // of every op, and large enough for several threads
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
