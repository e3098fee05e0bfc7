#include "case_families.h"

namespace mica::test {

using nlohmann::json;

namespace {

const std::vector<Shape>& shapes() {
  static const std::vector<Shape> all{{},     {1},       {7},       {101},     {0},          {1, 1},       {3, 5},       {1,
      13},         {13, 1}, {2, 67},
                                      {0, 3}, {2, 3, 5}, {1, 1, 1}, {4, 1, 3}, {2, 3, 4, 5}, {1, 1, 1, 1}, {1, 7, 3, 2}, {2,
                                          17, 1, 1},   {3, 0, 2, 1},
                                      {1, 3, 2, 2, 3}, {5, 1, 1, 3}};
  return all;
}

const std::vector<std::pair<Shape, Shape>>& pairs() {
  static const std::vector<std::pair<Shape, Shape>> all{
      {{}, {}},           {{1}, {1}},          {{3, 4}, {3, 4}},       {{2, 3, 4, 5}, {3, 1, 1}}, {{2, 3, 4, 5}, {5}},
             {{3, 4, 5}, {2, 3, 4, 5}},
      {{1, 3, 1, 5}, {2, 1, 4, 1}}, {{}, {2, 3}},  {{7}, {}},          {{2, 1, 3}, {5, 1}},       {{0}, {1}},
                      {{2, 0, 3}, {1, 3}},
      {{2, 3, 4, 5}, {2, 3, 4, 5}}, {{103}, {103}}, {{2, 7, 1, 1}, {2, 7, 3, 2}}, {{1, 2, 2, 2, 3}, {2, 1, 3}}, {{13, 1},
          {1, 11}}, {{4, 3, 2}, {4, 3, 2}}};
  return all;
}

}  // namespace

void unary(Table& t, const std::string& op, Fill fill, const std::vector<json>& attributes) {
  std::size_t turn = 0;
  for (const Fill values : {fill, Fill::integers})
    for (const Shape& shape : shapes()) t.add(op, {{"input", {shape, values}}}, attributes[turn++ % attributes.size()]);
  for (const json& a : attributes) {
    t.add(op, {{"input", {{3, 9}, Fill::special}}}, a);
    t.add(op, {{"input", {{37}, fill}}}, a);
  }
}

void binary(Table& t, const std::string& op, const std::string& first, const std::string& second, Fill a, Fill b,
            const std::vector<json>& attributes) {
  std::size_t turn = 0;
  for (const bool whole : {false, true})
    for (const auto& [x, y] : pairs())
      t.add(op, {{first, {x, whole ? Fill::integers : a}}, {second, {y, whole ? Fill::integers : b}}},
          attributes[turn++ % attributes.size()]);
  for (const json& extra : attributes) {
    t.add(op, {{first, {{5, 9}, Fill::special}}, {second, {{9}, b}}}, extra);
    t.add(op, {{first, {{9}, a}}, {second, {{5, 9}, Fill::special}}}, extra);
    t.add(op, {{first, {{7, 11}, Fill::special}}, {second, {{7, 11}, Fill::special}}}, extra);
    t.add(op, {{first, {{3, 29}, a}}, {second, {{3, 29}, b}}}, extra);
  }
}

void elementwise(Table& t) {
  for (const char* op : {"add", "sub", "mul", "div"}) {
    binary(t, op, "input", "other", Fill::distinct, op == std::string("div") ? Fill::positive : Fill::distinct);
    for (const double number : {2.0, -0.5}) t.add(op, {{"input", {{3, 5}}}}, {{"other", number}});
  }
  binary(t, "pow", "input", "exponent", Fill::positive, Fill::distinct);
  for (const double exponent : {2.0, 0.5, 3.0, -1.0, 1.7, 0.0, 1.0, -2.5}) {
    t.add("pow", {{"input", {{2, 3, 2, 3}, Fill::positive}}}, {{"exponent", exponent}});
    t.add("pow", {{"input", {{23}, Fill::integers}}}, {{"exponent", exponent}});
  }
  unary(t, "exp", Fill::distinct);
  unary(t, "log", Fill::positive);
  unary(t, "sqrt", Fill::positive);
  unary(t, "relu", Fill::distinct);
  unary(t, "leaky_relu", Fill::distinct, {json::object(), {{"negative_slope", 0.25}}, {{"negative_slope", -0.5}}});
  unary(t, "sigmoid", Fill::distinct);
  unary(t, "tanh", Fill::distinct);
  unary(t, "gelu", Fill::distinct, {json::object(), {{"approximate", "tanh"}}});
  unary(t, "clamp", Fill::distinct, {{{"min", -0.5}, {"max", 1.0}}, {{"min", 0.25}}, {{"max", -0.125}}, {{"min", 1.0},
      {"max", -1.0}}});
  unary(t, "dropout", Fill::distinct, {{{"p", 0.0}}, {{"p", 0.7}, {"training", false}}});
  for (const Shape& shape : shapes()) t.add("dropout", {{"input", {shape}}}, {{"p", 1.0}});  // (PyTorch makes NaN of ∞ here)
}

}  // namespace mica::test
