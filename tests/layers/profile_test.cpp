// The profile of training steps: rows, what they count, and its trace. Of times only that they add up.
#include "../compare.h"
#include "../no_device.h"
#include "../tensor_cores.h"

#include <mica/core/cuda_graph.h>
#include <mica/core/error.h>
#include <mica/core/ops/loss.h>
#include <mica/core/ops/reduce.h>
#include <mica/core/random.h>
#include <mica/data/drawn_digits.h>
#include <mica/layers/layers.h>
#include <mica/layers/profile.h>
#include <mica/layers/residual.h>
#include <mica/layers/sequential.h>
#include <mica/optim/clip.h>
#include <mica/optim/sgd.h>

#include <nlohmann/json.hpp>

#include <sstream>

using namespace mica;
using namespace mica::test;

namespace {

Sequential small() {
  manual_seed(1);
  Sequential net;                     //  1×28×28
  net.add("conv", Conv2d(1, 2, 5));   //  2×24×24
  net.add("norm", BatchNorm2d(2));
  net.add("relu", ReLU());
  net.add("dropout", Dropout(0.5));
  net.add("pool", MaxPool2d(8));      //  2×3×3
  net.add("gap", GlobalAvgPool());    //  2×1×1
  net.add("flatten", Flatten());      //  2
  net.add("fc", Linear(2, 10));       // 10
  net.add("log_softmax", LogSoftmax());
  return net;
}

std::vector<std::string> names(const std::vector<Profile::Row>& rows) {
  std::vector<std::string> all;
  for (const Profile::Row& row : rows) all.push_back(row.name);
  return all;
}

const Profile::Row& find(const std::vector<Profile::Row>& rows, const std::string& name) {
  for (const Profile::Row& row : rows)
    if (row.name == name) return row;
  throw Error("no row " + name);
}

// Training steps of the small network on three images each, of which all but the first are measured, and their losses.
struct Trained {
  explicit Trained(Device device, int steps, bool with_profile = true) : network(small()) {
    network.to(device);
    if (with_profile) profile.emplace(network, Shape{3, 1, 28, 28});
    Sgd sgd(network.parameters(), {.lr = 0.1, .momentum = 0.9});
    BatchLoader loader(draw_digits(12, "train").to(device), {.batch_size = 3});
    Batch batch;
    for (int i = 0; i < steps; ++i) {
      const bool measured = profile && (i > 0 || steps == 1);
      if (measured) profile->begin_step();
      loader.next(batch);
      sgd.zero_grad();
      Tensor loss = nll_loss(network(batch.images), batch.labels);
      loss.backward();
      clip_grad_norm_(network.parameters(), 1);
      sgd.step();
      if (measured) profile->end_step();
      losses.push_back(loss.to(Device::cpu()).item<float>());
    }
  }
  Sequential network;
  std::optional<Profile> profile;
  std::vector<float> losses;
};

void check_rows(Device device) {
  const Trained trained(device, 1);
  const std::vector<Profile::Row> rows = trained.profile->rows();
  CHECK(names(rows) == std::vector<std::string>{"conv", "norm+relu+dropout", "pool", "gap", "flatten", "fc", "log_softmax", "BatchLoader (data)",
                                                "clip_grad_norm_ (optimizer)", "Sgd (optimizer)", "other"});
  double sum = 0;
  for (const Profile::Row& row : rows) {
    INFO(row.name);
    const bool layer = row.name.find(" (") == std::string::npos && row.name != "other";
    CHECK(row.ms >= 0);
    for (const Profile::Part& part : {row.forward, row.backward}) CHECK(((part.ms > 0) == layer || row.name == "flatten"));  // a view: no work
    if (layer) CHECK(row.ms == row.forward.ms + row.backward.ms);
    sum += row.ms;
  }
  CHECK(sum == Approx(trained.profile->step_ms()));
}

void check_trace(Device device) {
  const Trained trained(device, 4);
  CHECK(trained.profile->steps() == 3);
  using Json = nlohmann::json;
  const Json trace = Json::parse(trained.profile->chrome_trace());
  std::vector<Json> events;
  for (const Json& event : trace.at("traceEvents")) {
    if (event.at("ph") == "X") events.push_back(event);
    else CHECK(event.at("ph") == "M");
  }
  std::map<std::string, int> categories;
  struct Span { double begin, end; };
  std::vector<Span> around;  // that have not ended, in whole nanoseconds
  for (const Json& event : events) {
    INFO(event);
    ++categories[event.at("cat")];
    const double begin = std::round(event.at("ts").get<double>() * 1e3), end = begin + std::round(event.at("dur").get<double>() * 1e3);
    CHECK(end >= begin);
    while (!around.empty() && around.back().end <= begin && event.at("cat") == "step") around.pop_back();
    while (!around.empty() && around.back().end <= begin && around.size() > 1) around.pop_back();
    CHECK(around.empty() == (event.at("cat") == "step"));
    if (!around.empty()) CHECK((around.back().begin <= begin && end <= around.back().end));
    around.push_back({begin, end});
  }
  CHECK(categories == std::map<std::string, int>{{"step", 3}, {"data", 3}, {"optimizer", 6}, {"forward", 3 * 8}, {"backward", 3 * 7}});
  CHECK(events[0].at("name") == "step 1");
  CHECK(events[1].at("name") == "BatchLoader");
  CHECK(events[4].at("name") == "norm+relu+dropout");
  CHECK(events[4].at("args").at("bytes") == 3 * 3 * 3 * 2 * 24 * 24 * 4 / 3 + 4 * 4);
}

}  // namespace

TEST_CASE("a profile has a row for each layer as it runs, for batches and the optimizer, and they add up to the step") { check_rows(Device::cpu()); }

TEST_CASE("a profile on CUDA has the same rows, and they add up to the step", "[cuda]") {
  if (!no_device()) check_rows(Device::cuda());
}

TEST_CASE("a profile's trace is JSON whose events nest") { check_trace(Device::cpu()); }

TEST_CASE("a profile's trace on CUDA is JSON whose events nest", "[cuda]") {
  if (!no_device()) check_trace(Device::cuda());
}

TEST_CASE("profiling changes nothing of what is trained") { CHECK(Trained(Device::cpu(), 4).losses == Trained(Device::cpu(), 4, false).losses); }

TEST_CASE("a profile counts FLOP and bytes by formula") {
  const Trained trained(Device::cpu(), 1);
  const std::vector<Profile::Row> rows = trained.profile->rows();
  const auto check = [&](const char* name, double forward_flops, double backward_flops, double forward_values, double backward_values) {
    const Profile::Row& row = find(rows, name);
    INFO(name);
    CHECK(row.forward.flops == forward_flops);
    CHECK(row.backward.flops == backward_flops);
    CHECK(row.forward.bytes == 4 * forward_values);
    CHECK(row.backward.bytes == 4 * backward_values);
  };
  const double in = 3 * 28 * 28, image = 3 * 2 * 24 * 24, pooled = 3 * 2 * 3 * 3, conv = 2.0 * 25 * image, fc = 2.0 * 2 * 30;
  check("conv", conv, conv, in + image + 52, in + image + 2 * 52);  // the images need no gradient
  check("norm+relu+dropout", 0, 0, 2 * image + image + 4, 2 * (image + image) + image + 2 * 4);
  check("pool", 0, 0, image + pooled, image + pooled + image);
  check("flatten", 0, 0, 0, 0);  // a view
  check("fc", fc, 2 * fc, 6 + 30 + 30, 6 + 30 + 6 + 2 * 30);
}

TEST_CASE("a profile of frozen, nested and repeated layers") {
  struct Twice : Module {
    Tensor forward(const Tensor& x) override { return fc(fc(x)); }
    void visit(Visitor& v) override { v("fc", fc); }
    const char* kind() const override { return "Twice"; }
    Linear fc{4, 4};
  };
  Sequential body, net;
  body.add("fc", Linear(4, 4)), body.add("relu", ReLU());
  net.add("first", Linear(4, 4)), net.add("block", Residual(std::move(body))), net.add("twice", Twice());
  for (const auto& [name, parameter] : net.state_dict())
    if (name.rfind("first", 0) == 0) Tensor(parameter).set_requires_grad(false);
  Profile profile(net, {5, 4});
  profile.begin_step();
  sum(net(Tensor::ones({5, 4}))).backward();
  profile.end_step();
  const std::vector<Profile::Row> rows = profile.rows();
  // block adds by itself; its body, twice and the whole do nothing of their own
  CHECK(names(rows) == std::vector<std::string>{"first", "block.body.fc", "block.body.relu", "block", "twice.fc", "other"});
  const double flops = 2 * 4 * 4 * 5;
  CHECK(find(rows, "first").backward.flops == 0);
  CHECK(find(rows, "first").backward.bytes == 0);
  CHECK(find(rows, "block.body.fc").backward.flops == flops);  // of the weight: what comes in needs none
  CHECK(find(rows, "block").forward.bytes == 0);
  CHECK(find(rows, "twice.fc").forward.flops == 2 * flops);
  CHECK(find(rows, "twice.fc").backward.flops == 4 * flops);
}

TEST_CASE("products that run fused are a row with the work of each") {
  struct Pair : Module {
    Tensor forward(const Tensor& x) override {
      ensure_named();
      if (ForwardObserver::active()) return second(first(x));
      const Scope scope(first.scope());
      return second.forward(first.forward(x));
    }
    void visit(Visitor& v) override { v("first", first), v("second", second); }
    const char* kind() const override { return "Pair"; }
    Linear first{4, 8}, second{8, 2};
  } pair;
  Profile profile(pair, {5, 4});
  profile.begin_step();
  sum(pair(Tensor::ones({5, 4}))).backward();
  profile.end_step();
  const std::vector<Profile::Row> rows = profile.rows();
  CHECK(names(rows) == std::vector<std::string>{"first+second", "other"});
  const double first = 2 * 4 * 8 * 5, second = 2 * 8 * 2 * 5;
  CHECK(rows[0].forward.flops == first + second);
  CHECK(rows[0].backward.flops == first + 2 * second);  // the first one's input needs no gradient
  CHECK(rows[0].forward.bytes == 4 * (20 + 10 + 40 + 18));
  CHECK(rows[0].backward.bytes == 4 * (20 + 10 + 2 * (40 + 18)));
}

TEST_CASE("a profile's table names the ceiling that binds") {
  const Trained trained(Device::cpu(), 2);
  const auto lines = [](const std::string& text) {
    std::istringstream in(text);
    std::vector<std::string> all;
    for (std::string line; std::getline(in, line);) all.push_back(line);
    return all;
  };
  const std::vector<std::string> plain = lines(trained.profile->table());
  REQUIRE(plain.size() == 16);
  CHECK(plain[0].rfind("Profile of cpu ", 0) == 0);
  CHECK(plain[3].rfind("conv ", 0) == 0);
  CHECK(plain[3].find('%') == plain[3].size() - 1);  // the share alone
  CHECK(plain[15].rfind("step ", 0) == 0);
  CHECK(plain[15].find(" 100.0 %") == plain[15].size() - 8);
  const std::vector<std::string> compared = lines(trained.profile->table({.flops = 1e12, .bandwidth = 1e15}));
  CHECK(compared[3].find("% FMA") != std::string::npos);
  CHECK(compared[4].find("0% copy") != std::string::npos);
  CHECK(compared[15].size() == compared[3].size());
}

TEST_CASE("a profile says what it was not given") {
  Sequential net = small();
  Profile profile(net, {3, 1, 28, 28});
  const std::string none = "Profile: no step was measured; call begin_step() before one and end_step() after it";
  CHECK(error_text<Error>([&] { profile.rows(); }) == none);
  CHECK(error_text<Error>([&] { profile.table(); }) == none);
  CHECK(error_text<Error>([&] { profile.chrome_trace(); }) == none);
  CHECK(error_text<Error>([&] { profile.end_step(); }) == "Profile::end_step: no step was begun; call begin_step() before it");
  profile.begin_step();
  CHECK_THROWS_AS(net(Tensor::ones({3, 2, 28, 28})), ShapeError);
  profile.begin_step();  // the step that failed is forgotten
  net(Tensor::ones({3, 1, 28, 28}));
  profile.end_step();
  CHECK(profile.steps() == 1);
  CHECK(find(profile.rows(), "conv").forward.ms <= profile.step_ms());
}

TEST_CASE("a profile on CUDA has a row for each link of a chain of convolutions", "[cuda]") {
  if (no_tensor_cores()) return;
  Sequential net;
  net.add("conv1", Conv2d(1, 16, 3)).add("norm1", BatchNorm2d(16)).add("relu1", ReLU()).add("drop1", Dropout(0.1));
  net.add("conv2", Conv2d(16, 16, 3)).add("norm2", BatchNorm2d(16)).add("relu2", ReLU());
  net.add("conv3", Conv2d(16, 32, 3)).add("norm3", BatchNorm2d(32)).add("drop3", Dropout(0.1)).add("relu3", ReLU());
  net.to(Device::cuda());
  const auto measure = [&](std::optional<Profile>& profile, bool tf32) {
    const Tf32Allowed scope(tf32);
    profile.emplace(net, Shape{2, 1, 12, 12}).begin_step();
    const Tensor y = net(Tensor::ones({2, 1, 12, 12}).to(Device::cuda()));
    y.backward(Tensor::ones(y.shape()).to(Device::cuda()));
    profile->end_step();
  };
  std::optional<Profile> profile;
  measure(profile, true);
  const std::vector<Profile::Row> rows = profile->rows();
  // "Sequential": what the chain does outside of its links
  CHECK(names(rows) == std::vector<std::string>{"conv1", "norm1+relu1+drop1", "conv2+norm2+relu2", "conv3", "norm3+drop3+relu3", "Sequential", "other"});
  const double conv2 = 2.0 * 9 * 16 * 16 * 2 * 8 * 8;
  CHECK(find(rows, "conv2+norm2+relu2").forward.flops == conv2);
  CHECK(find(rows, "conv2+norm2+relu2").backward.flops == 2 * conv2);
  CHECK(find(rows, "conv2+norm2+relu2").forward.bytes == 4 * (2 * 16 * (10 * 10 + 8 * 8) + 9 * 16 * 16 + 16 + 32));
  for (std::size_t i = 0; i + 2 < rows.size(); ++i) {
    INFO(rows[i].name);
    CHECK(rows[i].forward.ms > 0);
    CHECK(rows[i].backward.ms > 0);
    CHECK(rows[i].forward.tf32 == (rows[i].forward.flops > 0));
  }
  CHECK(profile->table({.flops = 1e9, .bandwidth = 1e15, .tf32_flops = 1e10}).find("% TF32 ") != std::string::npos);
  CHECK(profile->table({.flops = 1e9, .bandwidth = 1e15, .tf32_flops = 1e8}).find("% FMA ") != std::string::npos);  // the faster way
  measure(profile, false);
  for (const Profile::Row& row : profile->rows()) CHECK_FALSE((row.forward.tf32 || row.backward.tf32));
}

TEST_CASE("a step that is captured cannot be profiled, and the device goes on", "[cuda]") {
  if (no_device()) return;
  Sequential net;
  net.add("relu", ReLU());
  net.add("fc", Linear(2, 2));
  net.to(Device::cuda());
  const Tensor x = Tensor::ones({3, 2}).to(Device::cuda());
  Profile profile(net, {3, 2});
  profile.begin_step();
  CudaGraph graph;
  graph.capture([&](int) { net(x); });
  CHECK(error_text<Error>([&] { profile.end_step(); }) ==
        "Timeline: the parts of a step that is captured by a CudaGraph have no times of their own; measure steps that are done one by one");
  profile.begin_step();
  net(x);
  profile.end_step();
  CHECK(profile.rows().size() == 3);
}
