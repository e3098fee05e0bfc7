// What a memory report tells of a small network on a CUDA device, against what its tensors must take.
#include "../compare.h"
#include "../no_device.h"

#include <mica/core/memory_report.h>
#include <mica/core/ops/reduce.h>
#include <mica/layers/layers.h>
#include <mica/layers/sequential.h>

#include <algorithm>
#include <sstream>

using namespace mica;
using namespace mica::test;

namespace {

struct Row {
  std::string name;
  double current, change, peak, reserved;  // MB
};

std::vector<Row> rows_of(const std::string& table) {
  std::vector<Row> rows;
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("Memory") || line.starts_with("-")) continue;
    Row& row = rows.emplace_back();
    row.name = line.substr(0, line.find("  "));
    std::istringstream(line.substr(32)) >> row.current >> row.change >> row.peak >> row.reserved;
  }
  return rows;
}

}  // namespace

TEST_CASE("a memory report on CUDA tells what layers keep, what they needed at most, and what is held for them", "[cuda][memory]") {
  if (no_device()) return;
  const Device cuda = Device::cuda();
  Sequential net;
  net.add("fc1", Linear(512, 256)), net.add("relu", ReLU()), net.add("fc2", Linear(256, 128));
  net.to(cuda);
  const Tensor x = Tensor::ones({64, 512}, DType::f32, cuda);
  release_cached_memory(cuda);
  const std::size_t before = memory_stats(cuda).current;
  MemoryReport report(cuda);
  Tensor y = sum(net(x));
  y.backward();
  y = Tensor();
  INFO(report.table());
  const std::vector<Row> rows = rows_of(report.table());
  REQUIRE(rows.size() == 7);
  const auto near = [](double bytes) { return Approx(bytes / 1e6).margin(0.0011); };  // three decimals are printed

  // In bytes, all multiples of 512, which every tensor takes: hidden activations, a result, and the parameters' gradients.
  constexpr double hidden = 64 * 256 * 4, out = 64 * 128 * 4, fc1 = (512 * 256 + 256) * 4, fc2 = (256 * 128 + 128) * 4;
  const std::pair<const char*, double> changes[] = {{"fc1", hidden},
                                                    {"relu", hidden},
                                                    {"fc2", out},
                                                    {"fc2 backward", fc2 + hidden - out},
                                                    {"relu backward", hidden - 2 * hidden},  // its result goes, and the gradient
                                                    {"fc1 backward", fc1 - hidden},
                                                    {"now", fc1 + fc2}};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    INFO(changes[i].first);
    CHECK(rows[i].name == changes[i].first);
    CHECK(rows[i].change == near(changes[i].second));
    CHECK(rows[i].peak >= rows[i].current);
    CHECK(rows[i].reserved >= rows[i].peak);
  }
  const Row &relu = rows[1], &relu_backward = rows[4], &now = rows[6];
  CHECK(rows[0].current == near(static_cast<double>(before) + hidden));
  CHECK(now.current == near(static_cast<double>(before) + fc1 + fc2));
  CHECK(relu.peak == relu.current);  // products need scratch memory too
  CHECK(relu_backward.peak == Approx(rows[3].current + hidden / 1e6).margin(0.0011));
  CHECK(now.peak == std::ranges::max(rows, {}, &Row::peak).peak);
  CHECK(relu.reserved - rows[0].reserved >= hidden / 1e6 - 0.0011);  // one block more, at most a quarter larger
  CHECK(relu.reserved - rows[0].reserved <= 1.25 * hidden / 1e6 + 0.0011);
  CHECK(now.reserved == near(static_cast<double>(memory_stats(cuda).reserved)));
}
