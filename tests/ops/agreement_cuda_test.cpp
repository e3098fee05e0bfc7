// Every op of the table on every case, on a CUDA device: one of this machine, or the emulated one. Those that a library has too run
// by our own kernels and by the library, unless MICA_POLICY=native. MICA_CASE gives a single case, MICA_OPS=conv2d,matmul those of some ops.
#include "../no_device.h"
#include "agreement.h"
#include "differences.h"

#include <mica/core/context.h>
#include <mica/core/settings.h>

#include <cstdlib>
#include <sstream>

using namespace mica;
using namespace mica::test;

namespace {

std::vector<OpCase> chosen_cases() {
  const char* ops = std::getenv("MICA_OPS");
  if (!ops) return case_table();
  std::set<std::string> wanted;
  std::istringstream list(ops);
  for (std::string op; std::getline(list, op, ',');) wanted.insert(op);
  std::vector<OpCase> cases;
  for (const OpCase& c : case_table())
    if (wanted.count(c.attributes.at("op"))) cases.push_back(c);
  return cases;
}

// The table's ops that have a policy, by the name that it has in kernels::library_op_names.
const std::map<std::string, std::string> library_ops = {
    {"matmul", "matmul"},          {"linear", "matmul"},          {"conv2d", "conv2d"},
    {"batch_norm", "batch_norm"},  {"max_pool2d", "max_pool2d"},  {"avg_pool2d", "avg_pool2d"},
    {"softmax", "softmax"},        {"log_softmax", "softmax"},    {"adaptive_avg_pool2d", "avg_pool2d"},
    {"global_avg_pool", "avg_pool2d"},
};

// How many ops libraries did.
long library_work() { return mica::library_ops(Device::cuda()).done; }

std::string place() { return policy("matmul") == Policy::library ? "cuda (MICA_POLICY=library)" : "cuda"; }  // set for all ops alike

struct Chosen {
  explicit Chosen(Policy all) : before(policy("matmul")) { set_policy(all), allow_cudnn_tf32(false); }
  ~Chosen() { set_policy(before), allow_cudnn_tf32(true); }
  Policy before;
};

bool every_case(const OpCase&) { return true; }

// Checks the cases of ops that are wanted, and tells how many libraries did of each op.
template <class Check, class Wanted>
std::map<std::string, long> work_of(const Check& check, const Wanted& wanted, bool (*fits)(const OpCase&)) {
  std::map<std::string, long> work;
  for (const OpCase& c : chosen_cases()) {
    const std::string& op = c.attributes.at("op");
    if (!wanted(op) || !fits(c)) continue;
    const long before = library_work();
    check(c);
    work[op] += library_work() - before;
  }
  return work;
}

// Every case by our own kernels, which are the automatic choice on CUDA, and those of library_ops by the library.
template <class Check>
void under_every_policy(const Check& check, bool (*fits)(const OpCase&) = every_case) {
  const bool cublas = why_no_cublas().empty(), cudnn = why_no_cudnn().empty(), only_native = policy("matmul") == Policy::native;
  {
    const Chosen scope(Policy::automatic);
    for (const auto& [op, work] : work_of(check, [](const std::string&) { return true; }, fits)) {
      INFO(op << " on " << place() << ": libraries did " << work);
      CHECK(work == 0);
    }
  }
  if (only_native || !(cublas || cudnn)) return;
  const Chosen scope(Policy::library);
  for (const auto& [op, work] : work_of(check, [](const std::string& op) { return library_ops.count(op) > 0; }, fits)) {
#ifdef MICA_CUDA_EMULATED
    INFO(op << " on " << place() << ": libraries did " << work);
    CHECK((work > 0 || std::getenv("MICA_CASE") || !cublas || !cudnn));
#else  // whose libraries may refuse a dtype or a layout, and then our own kernels did it
    if (work == 0) WARN("skipped: no case of " << op << " was done by a library");
#endif
  }
}

// Which of equal maxima gets the gradient is for cuDNN to say; the emulated one takes the first, as we do.
bool has_free_winners(const OpCase& c) {
#ifdef MICA_CUDA_EMULATED
  return (void)c, false;
#else
  return c.attributes.at("op") == "max_pool2d" && policy("max_pool2d") == Policy::library && (c.has(Fill::integers) || c.has(Fill::special));
#endif
}

// On hardware cuDNN may convolve f32 by Winograd's or Fourier's transforms, which lose some bits more, of whole numbers too,
// and carry an infinity to its neighbours.
bool may_be_transformed(const OpCase& c) {
#ifdef MICA_CUDA_EMULATED
  return (void)c, false;
#else
  return c.attributes.at("op") == "conv2d" && policy("conv2d") == Policy::library;
#endif
}

// The device's results against the CPU's in f64, from values that dtype can hold.
void check_case(const OpCase& c, DType dtype, double output_tolerance, double gradient_tolerance) {
  const Arguments arguments = in_dtype(c.arguments(), dtype), wide = in_dtype(arguments, DType::f64);
  const Outputs gy = in_dtype(c.grad_outputs(), dtype);
  const OpResult got = run_op(c.attributes, arguments, gy, Device::cuda()), want = run_op(c.attributes, wide, in_dtype(gy, DType::f64));
  const bool special = c.has(Fill::special);
  if (dtype == DType::f32 && may_be_transformed(c)) {
    if (special) return;
    output_tolerance *= 50, gradient_tolerance *= 50;
  }
  const auto rounded = [&](const Tensor& x) { return is_floating(x.dtype()) ? x.detach().to(dtype) : x; };  // what f32 cannot hold is ∞ or 0
  const auto differ = [&](const Tensor& a, const Tensor& b) { return special ? difference_with_specials(a, rounded(b)) : compare(a, b); };
  for (const auto& [name, output] : want.outputs) {
    const Tensor& y = got.outputs.at(name);
    verify(c, name + "'s dtype on " + place(), is_floating(output.dtype()) ? y.dtype() == dtype : same_bits(y, output));
    verify(c, name + " on " + place(), differ(y, output), output_tolerance);
  }
  for (const auto& [name, gradient] : has_free_winners(c) ? Outputs() : want.gradients)
    verify(c, "gradient of " + name + " on " + place(), differ(got.gradients.at(name), gradient), gradient_tolerance * (special ? 1 : gradient_scale(gy, gradient)));
  for (const auto& [name, buffer] : want.buffers) verify(c, name + " on " + place(), differ(got.buffers.at(name), buffer), output_tolerance);
}

}  // namespace

TEST_CASE("f64 ops on CUDA equal the CPU's", "[cuda][ops]") {
  if (no_device()) return;
  under_every_policy([](const OpCase& c) { check_case(c, DType::f64, 1e-13, 1e-12); });
}

TEST_CASE("f32 ops on CUDA equal f64 within f32's precision", "[cuda][ops]") {
  if (no_device()) return;
  under_every_policy([](const OpCase& c) { check_case(c, DType::f32, 2e-6, 5e-6); });
}

TEST_CASE("whole numbers give the same bits on CUDA as on the CPU", "[cuda][ops]") {
  if (no_device()) return;
  const auto check = [](const OpCase& c) {
    if (has_free_winners(c) || may_be_transformed(c)) return;
    const Arguments narrow = in_dtype(c.arguments(), DType::f32);
    const Outputs gy = in_dtype(c.grad_outputs(), DType::f32);
    const std::vector<Tensor> want = everything(run_op(c.attributes, narrow, gy)), have = everything(run_op(c.attributes, narrow, gy, Device::cuda()));
    REQUIRE(have.size() == want.size());
    for (std::size_t i = 0; i < have.size(); ++i) verify(c, fmt::format("result {} on {}", i, place()), difference_with_specials(have[i], want[i]), 0);
  };
  under_every_policy(check, [](const OpCase& c) { return c.has(Fill::integers) && is_exact(c.attributes.at("op")); });
}

TEST_CASE("the same call gives the same bits on CUDA every time", "[cuda][ops]") {
  if (no_device()) return;
  under_every_policy([](const OpCase& c) {
    const Arguments narrow = in_dtype(c.arguments(), DType::f32);
    const Outputs gy = in_dtype(c.grad_outputs(), DType::f32);
    const OpResult once = run_op(c.attributes, narrow, gy, Device::cuda());
    verify(c, "the second run on " + place(), all_same_bits(run_op(c.attributes, narrow, gy, Device::cuda()), once));
  });
}

TEST_CASE("f64 gradients on CUDA equal finite differences there", "[cuda][ops][gradients]") {
  if (no_device()) return;
  GradientCheck check(Device::cuda(), 7);
#ifdef MICA_CUDA_EMULATED  // the first case of each op, but for the smallest, whose gradients may be zero
  std::set<std::string> seen;
  const auto wanted = [&](const OpCase& c) { return is_smooth(c) && c.arguments().begin()->second.numel() >= 6 && seen.insert(c.attributes.at("op")).second; };
#else
  const auto wanted = [](const OpCase&) { return true; };
#endif
  for (const OpCase& c : chosen_cases())
    if (wanted(c)) check.add(c);
  check.require_nonzero();
}
