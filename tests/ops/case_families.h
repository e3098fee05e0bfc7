// The families of the table of cases (case_table.h), each a function that adds its ops' cases.
#pragma once

#include "case_table.h"

namespace mica::test {

using Specs = std::map<std::string, ArgumentSpec>;

struct Table {
  std::vector<OpCase> cases;
  std::map<std::string, int> counts;

  void add(const std::string& op, const Specs& specs, nlohmann::json attributes = nlohmann::json::object());
};

// Ops of one input: every shape with `fill` and with whole numbers, the attributes in turn, and special values.
void unary(Table& t, const std::string& op, Fill fill,
           const std::vector<nlohmann::json>& attributes = {nlohmann::json::object()});
// Ops of two inputs that broadcast, likewise.
void binary(Table& t, const std::string& op, const std::string& first, const std::string& second, Fill a, Fill b,
            const std::vector<nlohmann::json>& attributes = {nlohmann::json::object()});

void elementwise(Table& t);
void reductions(Table& t);
void products(Table& t);
void convolution(Table& t);
void rearranging(Table& t);
void joining(Table& t);
void pooling(Table& t);
void normalisation(Table& t);
void losses(Table& t);

}  // namespace mica::test
