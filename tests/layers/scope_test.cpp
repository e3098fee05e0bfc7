// Scopes of modules, forward and backward, and the memory report that is made of them.
#include "../catch.h"
#include "../compare.h"

#include <mica/core/error.h>
#include <mica/core/memory_report.h>
#include <mica/core/ops/loss.h>
#include <mica/core/ops/reduce.h>
#include <mica/layers/layers.h>
#include <mica/layers/residual.h>
#include <mica/layers/sequential.h>

#include <iterator>
#include <sstream>

using namespace mica;
using namespace mica::test;

namespace {

struct Log final : ScopeObserver {
  std::vector<std::string> lines;
  void enter(const std::string& name, Pass pass) noexcept override { lines.push_back((pass == Pass::forward ? "> " : ">> ") + name); }
  void leave(const std::string& name, Pass pass) noexcept override { lines.push_back((pass == Pass::forward ? "< " : "<< ") + name); }
};

Sequential small() {
  Sequential body;
  body.add("fc", Linear(4, 4)), body.add("relu", ReLU());
  Sequential net;
  net.add("fc1", Linear(3, 4)), net.add("block", Residual(std::move(body))), net.add("fc2", Linear(4, 2));
  return net;
}

}  // namespace

TEST_CASE("a module's scope is entered by its forward and by the backward of what it recorded") {
  Sequential net = small();
  Log log;
  sum(net(Tensor::ones({2, 3}))).backward();
  CHECK(log.lines == std::vector<std::string>{"> Sequential", "> fc1", "< fc1", "> block", "> block.body", "> block.body.fc", "< block.body.fc",
                                              "> block.body.relu", "< block.body.relu", "< block.body", "< block", "> fc2", "< fc2", "< Sequential",
                                              ">> fc2", "<< fc2", ">> block", "<< block", ">> block.body.relu", "<< block.body.relu",
                                              ">> block.body.fc", "<< block.body.fc", ">> fc1", "<< fc1"});
  log.lines.clear();
  CHECK_THROWS_AS(net(Tensor::ones({2, 5})), ShapeError);
  CHECK(log.lines == std::vector<std::string>{"> Sequential", "> fc1", "< fc1", "< Sequential"});
  CHECK(Scope::current() == nullptr);
}

TEST_CASE("layers that run fused are one scope, named after the first") {
  Sequential net;
  net.add("norm", BatchNorm2d(2)), net.add("relu", ReLU()), net.add("dropout", Dropout(0.5));
  Log log;
  net(Tensor::ones({2, 2, 3, 3}));
  CHECK(log.lines == std::vector<std::string>{"> Sequential", "> norm", "< norm", "< Sequential"});
}

TEST_CASE("a memory report tells what layers keep") {
  Sequential net;
  net.add("fc1", Linear(1000, 500)), net.add("fc2", Linear(500, 1000));
  const Tensor x = Tensor::ones({250, 1000});
  const std::size_t before = memory_stats(Device::cpu()).current;
  MemoryReport report(Device::cpu());
  Tensor y = sum(net(x));
  y.backward();
  y = Tensor();
  std::istringstream lines(report.table());
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    rows.emplace_back(std::istream_iterator<std::string>(words), std::istream_iterator<std::string>());
  }
  REQUIRE(rows.size() == 8);
  CHECK(rows[0] == std::vector<std::string>{"Memory", "of", "cpu", "(MB)", "current", "change", "peak", "reserved"});
  const std::size_t sizes = rows[2].size();
  REQUIRE(sizes == 5);
  CHECK(rows[2][0] == "fc1");
  CHECK(std::stod(rows[2][2]) == Approx(0.5).margin(0.13));  // 250×500 floats, sizes rounded up by a quarter at most
  CHECK(rows[3][0] == "fc2");
  CHECK(std::stod(rows[3][2]) == Approx(1).margin(0.26));
  CHECK(rows[4][0] == "fc2");
  CHECK(rows[4][1] == "backward");
  CHECK(rows[5][0] == "fc1");
  for (const std::size_t row : {2u, 3u}) CHECK(std::stod(rows[row][3]) >= std::stod(rows[row][1]));
  CHECK(rows[7][0] == "now");
  CHECK(std::stod(rows[7][2]) == Approx(4).margin(1.1));  // the gradients of two matrices of 500,000 floats
  CHECK(std::stod(rows[7][3]) >= static_cast<double>(before) / 1e6 + 4);
}

TEST_CASE("a memory report sees peaks outside of layers, and may begin inside of one") {
  struct Inside : Module {
    std::string table;
    Tensor forward(const Tensor& x) override {
      const MemoryReport report(Device::cpu());
      const Tensor y = fc(x);
      table = report.table();
      return y;
    }
    void visit(Visitor& v) override { v("fc", fc); }
    const char* kind() const override { return "Inside"; }
    Linear fc{2, 2};
  } inside;
  inside(Tensor::ones({1, 2}));
  CHECK(inside.table.find("\nfc ") != std::string::npos);
  const std::size_t before = memory_stats(Device::cpu()).current;
  const MemoryReport report(Device::cpu());
  Tensor::zeros({1000, 1000});
  const std::string table = report.table(), last = table.substr(table.rfind("now"));
  std::istringstream words(last.substr(3));
  double current = 0, change = 0, peak = 0;
  words >> current >> change >> peak;
  CHECK(peak >= static_cast<double>(before) / 1e6 + 4);
  CHECK(change == 0);
}
