// Matrix products on a CUDA device by cuBLAS: every form of them, views that begin anywhere, TF32, the workspace's limit, several
// threads, and what is said when a call fails. (products_cuda_test.cpp has our own kernel's.)
#ifdef MICA_CUDA
#include "both_backends.h"

#include <mica/core/context.h>
#include <mica/core/error.h>
#include <mica/core/ops/linear.h>
#include <mica/core/ops/matmul.h>
#include <mica/core/settings.h>
#include <mica/kernels/cuda/cublas.h>
#include <mica/kernels/matmul.h>

#include <barrier>
#include <thread>

#ifdef MICA_CUDA_EMULATED
#include <emulator/device.h>
#endif

using namespace mica;
using namespace mica::test;
using kernels::MatmulDims;

namespace {

bool no_cublas() {
  if (no_device()) return true;
  const std::string reason = why_no_cublas();
  if (!reason.empty()) WARN("skipped: " << reason);
  return !reason.empty();
}

struct ByLibrary {
  ByLibrary() { set_policy("matmul", Policy::library); }
  ~ByLibrary() {
    set_policy("matmul", Policy::automatic);
    allow_matmul_tf32(false);
    set_workspace_limit(std::size_t{256} << 20);
    set_deterministic(true);
  }
};

// How many products cuBLAS did since the last question.
long products() {
  static long before = 0;
  const long now = library_ops(Device::cuda()).done;
  return now - std::exchange(before, now);
}

struct Product {
  MatmulDims d;
  bool bias;
  std::int64_t skip;  // elements before each operand: 0 is aligned
};

template <class T>
Tensor run(Device device, const Product& p, bool integers = false) {
  const MatmulDims& d = p.d;
  const DType type = sizeof(T) == 8 ? DType::f64 : DType::f32;
  const auto given = [&](std::int64_t n, const char* name) { return random_values(n + p.skip, DType::f32, integers, name).to(type).to(device); };
  const Tensor a = given(d.batch * d.m * d.k, "a"), b = given(d.batch * d.k * d.n, "b"), bias = given(d.n, "bias");
  Tensor c = Tensor::full({d.batch * d.m * d.n + p.skip}, 7, type, device);
  dispatch_device(c, [&](auto& context) {
    kernels::matmul(context, d, a.data<T>() + p.skip, b.data<T>() + p.skip, p.bias ? bias.data<T>() + p.skip : nullptr, c.data<T>() + p.skip);
  });
  return c.to(Device::cpu());
}

constexpr MatmulDims shapes[] = {{.m = 3, .n = 4, .k = 5}, {.m = 1, .n = 1, .k = 1}, {.m = 1, .n = 17, .k = 9}, {.m = 70, .n = 33, .k = 41}, {.m = 2, .n = 3, .k = 300}};

template <class F>
void for_each_product(const F& f) {
  for (MatmulDims d : shapes)
    for (const int form : {0, 1, 2, 3})
      for (const std::int64_t batch : {1, 3})
        for (const bool bias : {false, true})
          for (const std::int64_t skip : {0, 1}) {
            d.transpose_a = form & 1, d.transpose_b = form & 2, d.batch = batch;
            INFO(batch << " times " << d.m << "x" << d.k << " by " << d.k << "x" << d.n << ", form " << form << (bias ? ", bias" : "") << ", skip " << skip);
            f(Product{d, bias, skip});
          }
}

}  // namespace

TEST_CASE("cuBLAS's products equal the definition in every form", "[cuda]") {
  if (no_cublas()) return;
  const ByLibrary scope;
  products();
  int used = 0, cases = 0;
  for_each_product([&](const Product& p) {
    const Tensor want = run<double>(Device::cpu(), p), whole = run<double>(Device::cpu(), p, true);
    CHECK(difference(run<double>(Device::cuda(), p), want) < 1e-13);
    CHECK(difference(run<float>(Device::cuda(), p), want) < 2e-6);
    CHECK(difference(run<float>(Device::cuda(), p, true), whole) == 0);
    cases += 3, used += products();
  });
  CHECK((used == cases || products() < 0));
}

TEST_CASE("a plan that is used again takes the bias of its own call", "[cuda]") {
  if (no_cublas()) return;
  const ByLibrary scope;
  const Tensor x = random_values(12, DType::f32, true, "x").reshape({4, 3}), weight = random_values(6, DType::f32, true, "w").reshape({2, 3});
  const Tensor biases = random_values(256, DType::f32, true, "bias");  // parts of one tensor lie in different places, alike aligned
  const Tensor x_there = x.to(Device::cuda()), weight_there = weight.to(Device::cuda()), biases_there = biases.to(Device::cuda());
  for (const std::int64_t at : {0, 128})
    CHECK(same_bits(linear(x_there, weight_there, biases_there.slice(at, at + 2)).to(Device::cpu()), linear(x, weight, biases.slice(at, at + 2))));
}

TEST_CASE("a plan made for an aligned bias is not used with one that begins anywhere", "[cuda]") {
  if (no_cublas()) return;
  const ByLibrary scope;
  const Device device = Device::cuda();
  const Tensor x = Tensor::ones({20}, DType::f32, device), weight = Tensor::ones({4, 4}, DType::f32, device), biases = Tensor::ones({8}, DType::f32, device);
  for (const auto& [x_at, bias_at] : {std::pair(1, 0), std::pair(1, 1), std::pair(0, 1)})
    CHECK(values(linear(x.slice(x_at, x_at + 16).reshape({4, 4}), weight, biases.slice(bias_at, bias_at + 4))) == std::vector<double>(16, 5));
}

TEST_CASE("no product of nothing is cuBLAS's, and none under another policy", "[cuda]") {
  if (no_cublas()) return;
  products();
  run<float>(Device::cuda(), {{.m = 4, .n = 4, .k = 4}, false, 0});
  const ByLibrary scope;
  for (const MatmulDims& d : {MatmulDims{.m = 4, .n = 3, .k = 0}, MatmulDims{.m = 0, .n = 3, .k = 2}, MatmulDims{.m = 4, .n = 3, .k = 2, .batch = 0}})
    CHECK(difference(run<float>(Device::cuda(), {d, true, 0}), run<double>(Device::cpu(), {d, true, 0})) == 0);
  CHECK(products() <= 0);
}

TEST_CASE("TF32 rounds factors where it is allowed, of f32 only", "[cuda]") {
  if (no_cublas()) return;
  const ByLibrary scope;
  const Product p{{.m = 40, .n = 30, .k = 50}, true, 0};
  const Tensor want = run<double>(Device::cpu(), p), exact = run<float>(Device::cuda(), p);
  allow_matmul_tf32(true);
  const Tensor rounded = run<float>(Device::cuda(), p);
  CHECK(difference(rounded, want) < 1e-3);
#ifdef MICA_CUDA_EMULATED  // GPUs before Ampere have none
  CHECK(difference(rounded, want) > 1e-5);
#endif
  CHECK(difference(run<double>(Device::cuda(), p), want) < 1e-13);
  set_policy("matmul", Policy::native);
  CHECK(difference(run<float>(Device::cuda(), p), want) < 2e-6);
  set_policy("matmul", Policy::library);
  allow_matmul_tf32(false);
  CHECK(same_bits(run<float>(Device::cuda(), p), exact));
}

TEST_CASE("a product keeps to the workspace's limit, whatever plans were made before", "[cuda]") {
  if (no_cublas()) return;
  const ByLibrary scope;
  const Product p{{.m = 24, .n = 40, .k = 500, .batch = 2}, true, 0};
  const Tensor want = run<double>(Device::cpu(), p), roomy = run<float>(Device::cuda(), p);
  products();
  for (const std::size_t limit : {0, 1000, 1 << 30}) {
    set_workspace_limit(limit);
    const Tensor got = run<float>(Device::cuda(), p);
    CHECK(difference(got, want) < 2e-6);
    CHECK(std::abs(products()) == 1);
#ifdef MICA_CUDA_EMULATED  // whose algorithms differ in their rounding, by the workspace alone
    CHECK(same_bits(got, roomy) == (limit == 1 << 30));
#endif
  }
  set_workspace_limit(1 << 30);
  set_deterministic(false);
  CHECK(difference(run<float>(Device::cuda(), p), want) < 2e-6);
}

TEST_CASE("products of several threads at once", "[cuda]") {
  if (no_cublas()) return;
  const ByLibrary scope;
  constexpr int threads = 4, products_each = 16;
  const Tensor weight = random_values(8 * 9, DType::f32, true, "w").reshape({8, 9}), weight_there = weight.to(Device::cuda());
  std::vector<Tensor> x, x_there;  // products_each shapes: each is planned by one thread and used by all
  for (int rows = 1; rows <= products_each; ++rows) {
    x.push_back(random_values(rows * 8, DType::f32, true, "x").reshape({rows, 8}));
    x_there.push_back(x.back().to(Device::cuda()));
  }
  std::vector<Tensor> results(threads * products_each);
  std::barrier start(threads);
  std::vector<std::thread> all;
  for (std::size_t t = 0; t < threads; ++t)
    all.emplace_back([&, t] {
      start.arrive_and_wait();
      for (std::size_t i = 0; i < products_each; ++i) results[t * products_each + i] = matmul(x_there[i], weight_there);
    });
  for (std::thread& thread : all) thread.join();
  for (std::size_t i = 0; i < results.size(); ++i) CHECK(same_bits(results[i].to(Device::cpu()), matmul(x[i % products_each], weight)));
}

#ifdef MICA_CUDA_EMULATED
TEST_CASE("a product whose bits change from call to call is cuBLAS's choice only where that is allowed", "[cuda]") {
  if (no_cublas()) return;
  const ByLibrary scope;
  const Product p{{.m = 24, .n = 40, .k = 500}, true, 0};
  const Tensor want = run<double>(Device::cpu(), p);
  set_workspace_limit(0);  // or it would cut sums in a way that repeats itself
  for (const bool only_repeatable : {true, false}) {
    set_deterministic(only_repeatable);
    const Tensor once = run<float>(Device::cuda(), p), again = run<float>(Device::cuda(), p);
    CHECK(same_bits(once, again) == only_repeatable);
    for (const Tensor& got : {once, again}) CHECK(difference(got, want) < 2e-6);
  }
}

TEST_CASE("a call of cuBLAS that fails is named with its status, and the next one works", "[cuda]") {
  if (no_cublas()) return;
  const ByLibrary scope;
  const Product p{{.m = 5, .n = 6, .k = 7}, true, 0};
  const Tensor want = run<float>(Device::cuda(), p);
  emulator::fail_library_call(2);  // setting the bias's pointer comes first
  const std::string text = error_text<CudaError>([&] { run<float>(Device::cuda(), p); });
  CHECK(text.find("cublasLtMatmul failed: CUBLAS_STATUS_EXECUTION_FAILED, the function failed to launch on the GPU (") == 0);
  CHECK(text.find("matmul_cublas.cpp:") != std::string::npos);
  CHECK(same_bits(run<float>(Device::cuda(), p), want));
}

TEST_CASE("where cuBLAS cannot run what its heuristic puts first, its next proposal is tried, and the outcome is kept", "[cuda]") {
  if (no_cublas()) return;
  const ByLibrary scope;
  const auto product = [](std::int64_t m, int by_cublas, int refused) {
    const Product p{{.m = m, .n = 40, .k = 100}, true, 0};
    products();
    const int before = emulator::refused_proposals();
    CHECK(difference(run<double>(Device::cuda(), p), run<double>(Device::cpu(), p)) < 1e-13);
    CHECK(products() == by_cublas);
    CHECK(emulator::refused_proposals() - before == refused);
  };
  emulator::refuse_proposals(1);
  product(24, 1, 1);
  product(24, 1, 0);
  emulator::refuse_proposals(2);
  product(25, 0, 2);
  product(25, 0, 0);
  emulator::refuse_proposals(0);
}
#endif

#endif
