// What is cuDNN's own: its dropout, what it cannot do, its settings. The table's cases run by it in agreement_cuda_test.cpp.
#include "../no_device.h"
#include "agreement.h"

#include <mica/core/cuda_graph.h>
#include <mica/core/error.h>
#include <mica/core/ops.h>
#include <mica/core/random.h>
#include <mica/core/settings.h>

#include <algorithm>
#include <set>

#if defined(MICA_CUDA_EMULATED) && defined(MICA_CUDNN)
#include "../emulator/cudnn.h"
#include "../emulator/device.h"
#endif

using namespace mica;
using namespace mica::test;

namespace {

// cuDNN for the ops that it has, in full precision, until the end of the scope.
struct ByLibrary {
  ByLibrary() { set_policy(Policy::library), allow_cudnn_tf32(false); }
  ~ByLibrary() {
    set_policy(Policy::automatic), allow_cudnn_tf32(true), set_deterministic(true), set_workspace_limit(std::size_t{256} << 20);
  }
};

bool no_cudnn() {
  if (no_device()) return true;
  const std::string reason = why_no_cudnn();
  if (!reason.empty()) WARN("skipped: " << reason);
  return !reason.empty();
}

// Of each op the function that does it.
const std::map<std::string, const char*> functions{
    {"conv2d", "cudnnConvolutionForward"},      {"softmax", "cudnnSoftmaxForward"},
    {"log_softmax", "cudnnSoftmaxForward"},     {"max_pool2d", "cudnnPoolingForward"},
    {"avg_pool2d", "cudnnPoolingForward"},      {"adaptive_avg_pool2d", "cudnnPoolingForward"},
    {"global_avg_pool", "cudnnPoolingForward"}, {"batch_norm", "cudnnBatchNormalizationForwardTraining"}};

#if defined(MICA_CUDA_EMULATED) && defined(MICA_CUDNN)
long calls(const std::string& op) { return emulator::cudnn_calls(functions.at(op)); }
#endif

Tensor numbers(const Shape& shape, DType dtype = DType::f32) {
  std::vector<double> values(static_cast<std::size_t>(numel(shape)));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(0.7 * static_cast<double>(i) + 0.3);
  return Tensor::from<double>(values, shape).to(dtype).to(Device::cuda());
}

}  // namespace

TEST_CASE("dropout by cuDNN: its own masks, p as asked, the gradient through them, and the same ones for a seed", "[cuda][cudnn]") {
  if (no_cudnn()) return;
  const ByLibrary scope;
  const std::int64_t n = 40000;
  const auto draw = [&](double p, DType dtype) {
    Tensor x = Tensor::ones({n}, dtype, Device::cuda());
    x.set_requires_grad();
    const Tensor y = dropout(x, p, true, random_key("not used"));
    y.backward(Tensor::ones({n}, dtype, Device::cuda()));
    CHECK(same_bits(y.detach().to(Device::cpu()), x.grad().to(Device::cpu())));
    return values(y);
  };
  manual_seed(5);
  const std::vector<double> first = draw(0.25, DType::f64), second = draw(0.5, DType::f32), third = draw(0.25, DType::f64);
  CHECK(first != third);
  for (const auto& [drawn, p] : {std::pair(first, 0.25), std::pair(second, 0.5)}) {
    const auto kept = static_cast<double>(std::ranges::count_if(drawn, [](double v) { return v != 0; }));
    CHECK(std::abs(kept / static_cast<double>(n) - (1 - p)) <
          4 * std::sqrt(p * (1 - p) / static_cast<double>(n)));  // four standard deviations
    CHECK(std::ranges::all_of(drawn, [p = p](double v) { return v == 0 || std::abs(v * (1 - p) - 1) < 1e-7; }));
  }
  manual_seed(5);
  CHECK(draw(0.25, DType::f64) == first);
  CHECK(draw(0.5, DType::f32) == second);
  manual_seed(6);
  CHECK(draw(0.25, DType::f64) != first);
  // All or nothing is dropped without it.
  const Tensor x = numbers({7});
  CHECK(same_bits(dropout(x, 0, true, {}).to(Device::cpu()), x.to(Device::cpu())));
  CHECK(same_bits(dropout(x, 1, true, {}).to(Device::cpu()), Tensor::zeros({7})));
  CHECK(same_bits(dropout(x, 1 - 1e-12, true, random_key("some")).to(Device::cpu()), Tensor::zeros({7})));
  CHECK(dropout(Tensor::empty({0, 3}, DType::f32, Device::cuda()), 0.5, true, {}).numel() == 0);
}

TEST_CASE("a gradient of dropout goes through the mask that its own call drew", "[cuda][cudnn]") {
  if (no_cudnn()) return;
  const ByLibrary scope;
  Tensor x = Tensor::ones({1000}, DType::f64, Device::cuda());
  x.set_requires_grad();
  const Tensor y = dropout(x, 0.3, true, {});
  manual_seed(9);  // and more calls in between
  const Tensor first = dropout(x.detach(), 0.6, true, {});
  y.backward(Tensor::ones({1000}, DType::f64, Device::cuda()));
  CHECK(same_bits(y.detach().to(Device::cpu()), x.grad().to(Device::cpu())));
  CHECK_FALSE(same_bits(dropout(x.detach(), 0.6, true, {}).to(Device::cpu()), first.to(Device::cpu())));  // nor did it start anew
}

TEST_CASE("dropout by cuDNN in a captured step goes on with its sequence, and a seed reaches it from outside", "[cuda][cudnn]") {
  if (no_cudnn()) return;
  const ByLibrary scope;
  Tensor x = Tensor::ones({1000}, DType::f64, Device::cuda()), y;
  const Tensor ones = x.clone();
  x.set_requires_grad();
  const auto step = [&](int) {
    x.set_grad({});
    y = dropout(x, 0.3, true, {});
    y.backward(ones);
  };
  const auto drawn = [&] {
    CHECK(same_bits(y.detach().to(Device::cpu()), x.grad().to(Device::cpu())));
    return values(y.detach());
  };
  const auto outside = [&] { return values(dropout(ones, 0.3, true, {})); };
  manual_seed(5);
  std::vector<std::vector<double>> sequence(6);
  for (std::vector<double>& mask : sequence) step(0), mask = drawn();
  CHECK(std::set(sequence.begin(), sequence.end()).size() == sequence.size());

  manual_seed(5);
  CudaGraph graph;
  graph.capture(step);  // draws the first mask
  for (const std::size_t i : {1u, 2u}) {
    graph.replay();
    CHECK(drawn() == sequence[i]);
  }
  CHECK(outside() == sequence[3]);
  graph.replay();
  CHECK(drawn() == sequence[4]);
  manual_seed(5);
  graph.replay();
  CHECK(drawn() == sequence[5]);
  CHECK(outside() == sequence[0]);
  graph.replay();
  CHECK(drawn() == sequence[1]);

  CudaGraph seeded;
  CHECK(error_text<Error>([&] { seeded.capture([&](int) { manual_seed(7), step(0); }); }) ==
        "dropout: cuDNN's generator is to start anew in a step that a CudaGraph records, and would draw the same masks at each replay; call "
        "manual_seed before capture(), or choose our own kernel by the policy dropout=native");
  manual_seed(5);
  CHECK(outside() == sequence[0]);
}

#if defined(MICA_CUDA_EMULATED) && defined(MICA_CUDNN)

namespace {

// Forward, of the input, of the weights: how often cuDNN did them.
std::array<long, 3> convolutions_by_cudnn() {
  return {emulator::cudnn_calls("cudnnConvolutionForward"), emulator::cudnn_calls("cudnnConvolutionBackwardData"),
          emulator::cudnn_calls("cudnnConvolutionBackwardFilter")};
}

// A convolution's result and gradients, each by cuDNN as often as expected.
std::vector<Tensor> convolve(std::int64_t size, std::array<long, 3> expected) {
  const auto before = convolutions_by_cudnn();
  Tensor x = numbers({2, 3, size, size}), w = numbers({4, 3, 3, 3});
  x.set_requires_grad(true), w.set_requires_grad(true);
  const Tensor y = conv2d(x, w, {}, {});
  y.backward(numbers(y.shape()));
  const auto after = convolutions_by_cudnn();
  for (std::size_t i = 0; i < 3; ++i) CHECK(after[i] - before[i] == expected[i]);
  return {y.detach().to(Device::cpu()), x.grad().to(Device::cpu()), w.grad().to(Device::cpu())};
}

}  // namespace

TEST_CASE("the policy decides whether cuDNN is asked", "[cuda][ops][cudnn]") {
  if (no_cudnn()) return;
  for (const auto& [op, function] : functions) {
    const std::string id = op + ".0";
    const auto first =
        std::ranges::find_if(case_table(), [&](const OpCase& c) { return c.attributes.at("op") == op && !c.has(Fill::special); });
    if (first == case_table().end()) continue;  // $MICA_CASE is of another op
    INFO(op);
    for (const Policy policy : {Policy::automatic, Policy::native, Policy::library}) {
      set_policy(policy);
      const long before = calls(op);
      run_op(first->attributes, in_dtype(first->arguments(), DType::f32), in_dtype(first->grad_outputs(), DType::f32), Device::cuda());
      CHECK((calls(op) > before) == (policy == Policy::library));
    }
  }
  set_policy(Policy::automatic);
}

TEST_CASE("convolution by cuDNN keeps to the workspace limit, to TF32's switch and to determinism", "[cuda][cudnn]") {
  if (no_cudnn()) return;
  const ByLibrary scope;
  const auto step = [](std::array<long, 3> expected) { return convolve(5, expected); };
  const auto full = step({1, 1, 1});
  set_workspace_limit(0);  // leaves forward an algorithm; the gradients' without a workspace do not repeat their bits
  step({1, 0, 0});
  set_deterministic(false);
  const auto once = step({1, 1, 1}), again = step({1, 1, 1});
  CHECK(same_bits(once[0], again[0]));
  CHECK_FALSE(same_bits(once[1], again[1]));  // the emulated library's, on purpose
  set_deterministic(true), set_workspace_limit(std::size_t{256} << 20), allow_cudnn_tf32(true);
  const auto rounded = step({1, 1, 1});
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(difference(rounded[i], full[i]) > 1e-5);
    CHECK(difference(rounded[i], full[i]) < 1e-2);
  }
}

TEST_CASE("where cuDNN cannot run what its heuristics put first, their next proposals are tried, and the outcome is kept", "[cuda][cudnn]") {
  if (no_cudnn()) return;
  const ByLibrary scope;
  set_deterministic(false);  // so that gradients have several algorithms too: 2 forward, 2 of the input, 3 of the weights
  const auto step = [](std::int64_t size, std::array<long, 3> by_cudnn, int refused) {
    const int before = emulator::refused_proposals();
    const auto got = convolve(size, by_cudnn);
    CHECK(emulator::refused_proposals() - before == refused);
    set_policy(Policy::native);
    const auto want = convolve(size, {0, 0, 0});
    set_policy(Policy::library);
    for (std::size_t i = 0; i < 3; ++i) CHECK(difference(got[i], want[i]) < 1e-5);
  };
  emulator::refuse_proposals(1);
  step(6, {1, 1, 1}, 3);
  step(6, {1, 1, 1}, 0);
  emulator::refuse_proposals(2);
  step(7, {0, 0, 1}, 6);
  step(7, {0, 0, 1}, 0);
  emulator::refuse_proposals(0);
}

TEST_CASE("the algorithm of a shape is asked for once", "[cuda][cudnn]") {
  if (no_cudnn()) return;
  const ByLibrary scope;
  const auto asked = [](const Conv2dOptions& options) {
    const long before = emulator::cudnn_calls("cudnnGetConvolutionForwardAlgorithm_v7");
    conv2d(numbers({1, 2, 7, 7}), numbers({3, 2, 3, 3}), {}, options);
    return emulator::cudnn_calls("cudnnGetConvolutionForwardAlgorithm_v7") - before;
  };
  const Conv2dOptions one{{1, 1}, {0, 0}, {1, 1}, 1}, other{{1, 1}, {1, 1}, {2, 2}, 1}, strided{{2, 2}, {2, 2}, {1, 1}, 1};  // all to 5×5
  CHECK(asked(one) == 1);
  CHECK(asked(other) == 1);
  CHECK(asked(one) == 0);
  CHECK(asked(strided) == 1);
  CHECK(asked(other) == 0);
}

TEST_CASE("batch norm by cuDNN, with its ReLU and dropout apart, equals the fused one", "[cuda][cudnn]") {
  if (no_cudnn()) return;
  const ByLibrary scope;
  const auto step = [](BatchNormOptions options, const char* choices) {
    set_policy(choices);
    options.relu = true, options.dropout = {0.4, random_key("here", 3)},
    options.num_batches_tracked = Tensor::zeros({}, DType::i64, Device::cuda());
    Tensor x = numbers({3, 5, 2, 3}, DType::f64), w = numbers({5}, DType::f64), b = numbers({5}, DType::f64);
    const Tensor mean = Tensor::zeros({5}, DType::f64, Device::cuda()), variance = Tensor::ones({5}, DType::f64, Device::cuda());
    x.set_requires_grad(), w.set_requires_grad(), b.set_requires_grad();
    const Tensor y = batch_norm(x, w, b, mean, variance, options);
    y.backward(numbers(y.shape(), DType::f64));
    std::vector<Tensor> all;
    for (const Tensor& t : {y.detach(), x.grad(), w.grad(), b.grad(), mean, variance, options.num_batches_tracked})
      all.push_back(t.to(Device::cpu()));
    return all;
  };
  const auto asked = [] {
    return std::array{emulator::cudnn_calls("cudnnBatchNormalizationForwardTraining"),
                      emulator::cudnn_calls("cudnnBatchNormalizationForwardInference"),
                      emulator::cudnn_calls("cudnnBatchNormalizationBackward")};
  };
  const auto before = asked();
  for (const BatchNormOptions& options :
       {BatchNormOptions{.training = true}, BatchNormOptions{.training = true, .momentum = {}}, BatchNormOptions{}}) {
    const auto want = step(options, "native"), got = step(options, "library,dropout=native");
    for (std::size_t i = 0; i < want.size(); ++i) {
      INFO(i);
      CHECK(difference(got[i], want[i]) < 1e-13);
    }
    CHECK(got.back().item<std::int64_t>() == (options.training ? 1 : 0));
  }
  const auto after = asked();  // the average of all batches is not for cuDNN, its gradient is; of evaluation it has no gradient
  CHECK(after[0] == before[0] + 1);
  CHECK(after[1] == before[1] + 1);
  CHECK(after[2] == before[2] + 2);
}

TEST_CASE("batch norm by cuDNN of an input that wants no gradient", "[cuda][cudnn]") {
  if (no_cudnn()) return;
  const ByLibrary scope;
  const auto gradient = [](bool of_input) {
    Tensor x = numbers({8, 5, 20, 20}, DType::f64), w = numbers({5}, DType::f64);
    x.set_requires_grad(of_input), w.set_requires_grad();
    const Tensor y = batch_norm(x, w, {}, {}, {}, {.training = true});
    y.backward(numbers(y.shape(), DType::f64));
    return w.grad().to(Device::cpu());
  };
  CHECK(same_bits(gradient(false), gradient(true)));
}

#endif
