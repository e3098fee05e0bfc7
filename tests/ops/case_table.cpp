#include "case_families.h"

#include <fmt/format.h>

#include <cstdlib>

namespace mica::test {

void Table::add(const std::string& op, const Specs& specs, nlohmann::json attributes) {
  attributes["op"] = op;
  cases.push_back({fmt::format("{}.{:03}", op, counts[op]++), std::move(attributes), specs});
}

const std::vector<OpCase>& case_table() {
  static const std::vector<OpCase> cases = [] {
    if (const char* line = std::getenv("MICA_CASE")) return std::vector<OpCase>{parse_case(line)};
    Table t;
    for (const auto family : {elementwise, reductions, products, convolution, rearranging, joining, pooling, normalisation, losses})
      family(t);
    return t.cases;
  }();
  return cases;
}

}  // namespace mica::test
