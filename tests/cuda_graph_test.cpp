// Captured steps: the bits of the steps themselves, and an error for what no graph can hold.
#include "compare.h"
#include "no_device.h"

#include <mica/core/autograd.h>
#include <mica/core/context.h>
#include <mica/core/cuda_graph.h>
#include <mica/core/error.h>
#include <mica/core/memory.h>
#include <mica/core/ops/elementwise.h>
#include <mica/core/ops/reduce.h>
#include <mica/core/random.h>
#include <mica/core/ops/loss.h>
#include <mica/layers/layers.h>
#include <mica/layers/sequential.h>
#include <mica/optim/adam.h>
#include <mica/optim/average.h>
#include <mica/optim/clip.h>
#include <mica/optim/one_cycle.h>
#include <mica/optim/rmsprop.h>
#include <mica/optim/sgd.h>

using namespace mica;
using namespace mica::test;

namespace {

enum class Rule { adam, adamw, rmsprop, momentum, dampened, sgd };

// A small network with all that changes from step to step: a rate, the steps of an optimizer, dropout by itself and fused with
// batch norm, running statistics.
Sequential small_network() {
  Sequential net;
  net.add("conv1", Conv2d(1, 4, 3)), net.add("norm1", BatchNorm2d(4)), net.add("relu1", ReLU()), net.add("dropout1", Dropout(0.3));
  net.add("conv2", Conv2d(4, 5, 3)), net.add("dropout2", Dropout(0.2)), net.add("gap", GlobalAvgPool()), net.add("flatten", Flatten());
  net.add("fc", Linear(5, 3)), net.add("log_softmax", LogSoftmax());
  return net;
}

SgdOptions sgd_options(Rule rule) {
  return {.lr = 0.01, .momentum = rule == Rule::sgd ? 0 : 0.9, .dampening = rule == Rule::dampened ? 0.3 : 0};
}

// Trained on batches of two, eagerly or by a graph of `steps` steps.
struct Training {
  explicit Training(Rule rule, DType type) : dtype(type) {
    manual_seed(5);
    network = small_network();
    network.to(dtype);
    network.to(Device::cuda());
    if (rule == Rule::adam) optimizer = std::make_unique<Adam>(network.parameters(), AdamOptions{.lr = 0.01});
    else if (rule == Rule::adamw) optimizer = std::make_unique<AdamW>(network.parameters(), AdamWOptions{.lr = 0.01, .weight_decay = 0.3});
    else if (rule == Rule::rmsprop) optimizer = std::make_unique<RMSprop>(network.parameters(), RMSpropOptions{.momentum = 0.9, .centered = true});
    else optimizer = std::make_unique<Sgd>(network.parameters(), sgd_options(rule));
  }

  void load(int number, std::size_t slot) {
    if (images.size() <= slot) images.resize(slot + 1), labels.resize(slot + 1), losses.resize(slot + 1);
    Tensor x = Tensor::empty({2, 1, 7, 6}, DType::f64);
    uniform_(x, -1, 2, random_key("images", static_cast<std::uint32_t>(number)));
    const Tensor t = Tensor::from<std::int64_t>({number % 3, (number + 1) % 3}, {2});
    if (!images[slot].defined()) {
      images[slot] = Tensor::empty(x.shape(), dtype, Device::cuda());
      labels[slot] = Tensor::empty(t.shape(), DType::i64, Device::cuda());
    }
    images[slot].copy_(x);
    labels[slot].copy_(t);
  }

  void step(std::size_t slot) {
    optimizer->zero_grad();
    losses[slot] = nll_loss(network(images[slot]), labels[slot]);
    losses[slot].backward();
    clip_grad_norm_(network.parameters(), 0.5);
    optimizer->step();
  }

  void note(std::size_t slot) { seen.push_back(values(losses[slot].detach())[0]); }

  DType dtype;
  Sequential network;
  std::unique_ptr<Optimizer> optimizer;
  std::vector<Tensor> images, labels, losses;
  std::vector<double> seen;
};

// The rate changes between steps, as a schedule does it.
double rate(int step) { return step < 4 ? 0.01 : 0.003; }

void check_equal(Training& eager, Training& graph) {
  CHECK(eager.seen == graph.seen);
  const StateDict a = eager.network.state_dict(), b = graph.network.state_dict();
  for (std::size_t i = 0; i < a.size(); ++i) {
    INFO(a[i].first);
    CHECK(same_bits(a[i].second.detach().to(Device::cpu()), b[i].second.detach().to(Device::cpu())));
  }
  const Optimizer::State one = eager.optimizer->state(), other = graph.optimizer->state();
  REQUIRE(one.size() == other.size());
  for (std::size_t i = 0; i < one.size(); ++i) {
    INFO(one[i].first);
    CHECK(one[i].first == other[i].first);
    CHECK(same_bits(one[i].second.detach().to(Device::cpu()), other[i].second.detach().to(Device::cpu())));
  }
}

}  // namespace

TEST_CASE("a captured training step has the bits of the step itself", "[cuda][training]") {
  if (no_device()) return;
  constexpr int count = 8;
  for (const Rule rule : {Rule::adam, Rule::momentum, Rule::sgd})
    for (const DType dtype : {DType::f32, DType::f64}) {
      if (dtype == DType::f64 && rule == Rule::sgd) continue;
      INFO(static_cast<int>(rule) << " " << name_of(dtype));
      Training eager(rule, dtype);
      for (int k = 0; k < count; ++k) {
        eager.optimizer->set_lr(0, rate(k));
        eager.load(k, 0);
        eager.step(0);
        eager.note(0);
      }
      for (const int steps : {1, 2}) {
        INFO(steps << " in a graph");
        Training graph(rule, dtype);
        CudaGraph captured;
        for (int k = 0; k < count; k += steps) {
          graph.optimizer->set_lr(0, rate(k));
          for (int i = 0; i < steps; ++i) graph.load(k + i, static_cast<std::size_t>(i));
          if (k == 0) captured.capture([&](int i) { graph.step(static_cast<std::size_t>(i)); }, steps);
          else captured.replay();
          for (int i = 0; i < steps && k > 0; ++i) graph.note(static_cast<std::size_t>(i));
          if (k == 0) graph.seen.assign(eager.seen.begin(), eager.seen.begin() + steps);  // the recording has made new tensors
        }
        check_equal(eager, graph);
      }
    }
}

TEST_CASE("a captured step follows OneCycleLR's rate and momentum, and averages weights", "[cuda][training]") {
  if (no_device()) return;
  constexpr int count = 8;
  for (const Rule rule : {Rule::momentum, Rule::adamw, Rule::rmsprop}) {
    INFO(static_cast<int>(rule));
    std::vector<NamedTensors> averages;
    Training eager(rule, DType::f32), graph(rule, DType::f32);
    for (Training* t : {&eager, &graph}) {
      OneCycleLR schedule(*t->optimizer, {.max_lr = {0.02}, .total_steps = count});
      ExponentialMovingAverage average(t->network.state_dict(), 0.6);
      CudaGraph captured;
      const auto step = [&](int) { t->step(0), average.update(); };
      for (int k = 0; k < count; ++k) {
        t->load(k, 0);
        if (t == &eager) step(0);
        else if (k == 0) captured.capture(step);
        else captured.replay();
        if (k == 3) {  // an evaluation between replays
          const AveragedWeights in_use(average);
          const EvalMode evaluation(t->network);
          t->seen.push_back(values(t->network(t->images[0]).detach())[0]);
        }
        schedule.step();
      }
      averages.push_back(average.state());
    }
    check_equal(eager, graph);
    for (std::size_t i = 0; i < averages[0].size(); ++i) {
      INFO(averages[0][i].first);
      CHECK(same_bits(averages[0][i].second.to(Device::cpu()), averages[1][i].second.to(Device::cpu())));
    }
    CHECK(averages[1][0].second.item<std::int64_t>() == count);
  }
}

TEST_CASE("eager steps go on where a graph ends, and it where they end", "[cuda][training]") {
  if (no_device()) return;
  Training eager(Rule::adam, DType::f32), mixed(Rule::adam, DType::f32);
  CudaGraph graph;
  for (int k = 0; k < 6; ++k) {
    for (Training* t : {&eager, &mixed}) t->load(k, 0);
    eager.step(0);
    if (k == 0) graph.capture([&](int) { mixed.step(0); });
    else if (k == 3) mixed.step(0);
    else graph.replay();
  }
  check_equal(eager, mixed);
}

TEST_CASE("what a graph cannot hold is an error that names the op, and the device goes on", "[cuda][training]") {
  if (no_device()) return;
  const Tensor x = Tensor::full({3}, 2, DType::f32, Device::cuda());
  Tensor y, other = Tensor::zeros({3});
  const auto refused = [&](const std::function<void(int)>& step) {
    CudaGraph graph;
    int calls = 0;
    const std::string text = error_text<Error>([&] { graph.capture([&](int) { step(calls++); }); });
    CHECK_FALSE(graph.captured());
    CHECK(values(relu(x)) == std::vector<double>{2, 2, 2});
    return text;
  };
  const std::string rest = ": while a CudaGraph is recorded the host can neither read the device's memory, nor copy to it, nor wait for it; do that "
                           "before capture() or after replay() (the last kernel before this was ";
  CHECK(refused([&](int) { y = relu(x), sum(y).item<float>(); }).starts_with("Tensor::item" + rest));
  CHECK(refused([&](int) { y = relu(x), y.to_vector<float>(); }) == "Tensor::to" + rest + "unary_forward)");
  CHECK(refused([&](int) { y = other.to(Device::cuda()); }).starts_with("Tensor::to" + rest));
  CHECK(refused([&](int) { y = relu(x), y.copy_(other); }).starts_with("Tensor::copy_" + rest));
  CHECK(refused([&](int) { synchronize(Device::cuda()); }).starts_with("synchronize" + rest));
  CHECK(refused([&](int call) { y = call == 0 ? relu(x) : Tensor::empty({1 << 29}, DType::f32, Device::cuda()); }).starts_with(
        "cannot allocate 2147483648 bytes on cuda:0: "));
  CHECK(refused([&](int call) { if (call == 1) throw Error("mine"); }) == "mine");

  CudaGraph graph;
  CHECK(error_text<Error>([&] { graph.replay(); }) == "CudaGraph::replay: there is nothing to replay; call capture() first");
  CHECK(error_text<Error>([&] { graph.capture([](int) {}, 0); }) == "CudaGraph::capture: expected 1 step or more, got 0");
  CHECK(error_text<Error>([&] { graph.capture([&](int) { CudaGraph().capture([](int) {}); }); }) ==
        "CudaGraph::capture: another capture is under way on this thread; end its step first");
  graph.capture([&](int) { y = relu(x); });  // it can be used after all
  graph.replay();
  CHECK(values(y) == std::vector<double>{2, 2, 2});
  CHECK(error_text<DeviceError>([] { CudaGraph on_cpu{Device::cpu()}; }) ==
        "CudaGraph: expected a CUDA device, got cpu; on the CPU call the step itself");
}

TEST_CASE("a graph's memory is its own, and others' when it is gone", "[cuda][training]") {
  if (no_device()) return;
  Tensor x = Tensor::full({1000}, 2, DType::f32, Device::cuda()), y;
  const std::size_t before = memory_stats(Device::cuda()).current;
  {
    CudaGraph graph;
    graph.capture([&](int) { y = mul(add(x, x), x); });
    std::vector<Tensor> eager;
    for (int i = 0; i < 10; ++i) eager.push_back(Tensor::full({1000}, -1, DType::f32, Device::cuda()));  // none takes the graph's memory
    x.fill_(3);
    graph.replay();
    CHECK(values(y)[999] == 18);
    for (const Tensor& e : eager) CHECK(values(e)[500] == -1);
    y = Tensor();  // to the graph, which writes there still
    const Tensor late = Tensor::full({1000}, -1, DType::f32, Device::cuda());
    graph.replay();
    CHECK(values(late)[0] == -1);
  }
  y = Tensor();
  CHECK(memory_stats(Device::cuda()).current == before);
  const std::size_t reserved = memory_stats(Device::cuda()).reserved;
  for (int i = 0; i < 3; ++i) values(Tensor::full({1000}, 1, DType::f32, Device::cuda()));
  CHECK(memory_stats(Device::cuda()).reserved == reserved);
}

TEST_CASE("a target out of range in a replay is found", "[cuda][training]") {
  if (no_device()) return;
  const Tensor x = Tensor::zeros({2, 3}).to(Device::cuda());
  Tensor target = Tensor::zeros({2}, DType::i64, Device::cuda()), loss;
  CudaGraph graph;
  graph.capture([&](int) { loss = nll_loss(x, target); });
  graph.replay();
  CHECK(values(loss)[0] == 0);
  target.copy_(Tensor::from<std::int64_t>({0, 7}, {2}));
  graph.replay();
  CHECK(error_text<Error>([&] { synchronize(Device::cuda()); }) == "nll_loss: target[1] is 7, expected a class from 0 to 2 or ignore_index -100");
  target.fill_(1);
  graph.replay();
  CHECK_NOTHROW(synchronize(Device::cuda()));
}

TEST_CASE("a captured step goes on with an optimizer's loaded state, and adds gradients up", "[cuda][training]") {
  if (no_device()) return;
  Training eager(Rule::adam, DType::f32), graph(Rule::adam, DType::f32);
  CudaGraph captured;
  for (Training* t : {&eager, &graph}) t->load(0, 0), t->step(0);
  const Optimizer::State state = eager.optimizer->state();
  for (int k = 1; k < 5; ++k) {
    for (Training* t : {&eager, &graph}) {
      t->load(k, 0);
      if (k == 3) t->optimizer->load_state(state);
    }
    eager.step(0);
    if (k == 1) captured.capture([&](int) { graph.step(0); });
    else captured.replay();
  }
  check_equal(eager, graph);

  Tensor x = Tensor::full({2}, 3, DType::f32, Device::cuda());
  x.set_requires_grad();
  CudaGraph sums;
  sums.capture([&](int) { sum(mul(x, x)).backward(); });
  for (const double wanted : {12, 18, 24}) {
    sums.replay();
    CHECK(values(x.grad())[1] == wanted);
  }
}

TEST_CASE("a captured step starts anew where an optimizer loads a state without buffers", "[cuda][training]") {
  if (no_device()) return;
  for (const Rule rule : {Rule::adam, Rule::momentum, Rule::dampened}) {
    INFO(static_cast<int>(rule));
    Training eager(rule, DType::f32), graph(rule, DType::f32);
    const Optimizer::State fresh = eager.optimizer->state();
    CudaGraph captured;
    for (int k = 0; k < 4; ++k) {
      for (Training* t : {&eager, &graph}) {
        t->load(k, 0);
        if (k == 2) t->optimizer->load_state(fresh);
      }
      eager.step(0);
      if (k == 0) captured.capture([&](int) { graph.step(0); });
      else captured.replay();
    }
    check_equal(eager, graph);
  }
}

TEST_CASE("a value out of range in a replay is told after its graph is gone", "[cuda][training]") {
  if (no_device()) return;
  const Tensor x = Tensor::zeros({2, 3}).to(Device::cuda());
  Tensor target = Tensor::zeros({2}, DType::i64, Device::cuda()), loss;
  {
    CudaGraph graph;
    graph.capture([&](int) { loss = nll_loss(x, target); });
    synchronize(Device::cuda());
    target.copy_(Tensor::from<std::int64_t>({0, 7}, {2}));
    graph.replay();
  }
  CHECK(error_text<Error>([&] { synchronize(Device::cuda()); }) == "nll_loss: target[1] is 7, expected a class from 0 to 2 or ignore_index -100");
  target.fill_(1);
  CHECK_NOTHROW(nll_loss(x, target).item<float>());
}

TEST_CASE("a graph that was moved from says so", "[cuda][training]") {
  if (no_device()) return;
  CudaGraph graph;
  const CudaGraph there = std::move(graph);
  CHECK_FALSE(graph.captured());
  const std::string text = "CudaGraph: this one was moved from; use the one that it was moved to, or make another";
  CHECK(error_text<Error>([&] { graph.replay(); }) == text);
  CHECK(error_text<Error>([&] { graph.capture([](int) {}); }) == text);
}

TEST_CASE("a capture that fails keeps no memory", "[cuda][training]") {
  if (no_device()) return;
  const std::size_t before = memory_stats(Device::cuda()).reserved;
  CudaGraph graph;
  CHECK_THROWS_AS(graph.capture([](int) {
    Tensor::empty({100000}, DType::f32, Device::cuda());
    throw Error("mine");
  }), Error);
  release_cached_memory(Device::cuda());
  CHECK(memory_stats(Device::cuda()).reserved <= before);
}
