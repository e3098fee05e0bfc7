#include "case_table.h"

#include <mica/core/autograd.h>
#include <mica/core/error.h>
#include <mica/core/random.h>

#include <fmt/format.h>

#include <cstdlib>
#include <limits>

namespace mica::test {
namespace {

using nlohmann::json;
using Specs = std::map<std::string, ArgumentSpec>;

// ---- the table, a function for each family of ops ----

struct Table {
  std::vector<OpCase> cases;
  std::map<std::string, int> counts;

  void add(const std::string& op, const Specs& specs, json attributes = json::object()) {
    attributes["op"] = op;
    cases.push_back({fmt::format("{}.{:03}", op, counts[op]++), std::move(attributes), specs});
  }
};

const std::vector<Shape>& shapes() {
  static const std::vector<Shape> all{{},     {1},       {7},       {101},     {0},          {1, 1},       {3, 5},       {1, 13},         {13, 1}, {2, 67},
                                      {0, 3}, {2, 3, 5}, {1, 1, 1}, {4, 1, 3}, {2, 3, 4, 5}, {1, 1, 1, 1}, {1, 7, 3, 2}, {2, 17, 1, 1},   {3, 0, 2, 1},
                                      {1, 3, 2, 2, 3}, {5, 1, 1, 3}};
  return all;
}

void unary(Table& t, const std::string& op, Fill fill, const std::vector<json>& attributes = {json::object()}) {
  std::size_t turn = 0;
  for (const Fill values : {fill, Fill::integers})
    for (const Shape& shape : shapes()) t.add(op, {{"input", {shape, values}}}, attributes[turn++ % attributes.size()]);
  for (const json& a : attributes) {
    t.add(op, {{"input", {{3, 9}, Fill::special}}}, a);
    t.add(op, {{"input", {{37}, fill}}}, a);
  }
}

const std::vector<std::pair<Shape, Shape>>& pairs() {
  static const std::vector<std::pair<Shape, Shape>> all{
      {{}, {}},           {{1}, {1}},          {{3, 4}, {3, 4}},       {{2, 3, 4, 5}, {3, 1, 1}}, {{2, 3, 4, 5}, {5}},    {{3, 4, 5}, {2, 3, 4, 5}},
      {{1, 3, 1, 5}, {2, 1, 4, 1}}, {{}, {2, 3}},  {{7}, {}},          {{2, 1, 3}, {5, 1}},       {{0}, {1}},             {{2, 0, 3}, {1, 3}},
      {{2, 3, 4, 5}, {2, 3, 4, 5}}, {{103}, {103}}, {{2, 7, 1, 1}, {2, 7, 3, 2}}, {{1, 2, 2, 2, 3}, {2, 1, 3}}, {{13, 1}, {1, 11}}, {{4, 3, 2}, {4, 3, 2}}};
  return all;
}

void binary(Table& t, const std::string& op, const std::string& first, const std::string& second, Fill a, Fill b,
            const std::vector<json>& attributes = {json::object()}) {
  std::size_t turn = 0;
  for (const bool whole : {false, true})
    for (const auto& [x, y] : pairs())
      t.add(op, {{first, {x, whole ? Fill::integers : a}}, {second, {y, whole ? Fill::integers : b}}}, attributes[turn++ % attributes.size()]);
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
  unary(t, "clamp", Fill::distinct, {{{"min", -0.5}, {"max", 1.0}}, {{"min", 0.25}}, {{"max", -0.125}}, {{"min", 1.0}, {"max", -1.0}}});
  unary(t, "dropout", Fill::distinct, {{{"p", 0.0}}, {{"p", 0.7}, {"training", false}}});
  for (const Shape& shape : shapes()) t.add("dropout", {{"input", {shape}}}, {{"p", 1.0}});  // (PyTorch makes NaN of ∞ here)
}

const std::vector<std::pair<Shape, json>>& reductions() {
  static const std::vector<std::pair<Shape, json>> all{
      {{3, 5}, 0},  {{3, 5}, {1}},          {{2, 3, 4, 5}, {1}}, {{2, 3, 4, 5}, {0, 2, 3}}, {{2, 3, 4, 5}, {3, 0}}, {{2, 3, 4, 5}, {-3, -2, -1}},
      {{7}, {0}},   {{2, 3, 4, 2, 2}, {0}}, {{2, 3, 7}, {-1}},   {{2, 3, 7}, {0, 1}},       {{1, 1, 1}, {1}},       {{2, 131}, {1}},
      {{131, 2}, 0}, {{1, 70, 2, 2}, {2, 3}}, {{1, 70, 2, 2}, {1}}, {{}, {0}},              {{3, 1, 2, 5}, {0}},     {{2, 3, 5, 7}, nullptr},
      {{1}, nullptr}, {{41}, nullptr}};
  return all;
}

void reduce(Table& t) {
  for (const char* op : {"sum", "mean", "amax", "amin"}) {
    for (const bool keepdim : {false, true})
      for (const auto& [shape, dim] : reductions()) {
        const json attributes = dim.is_null() ? json::object() : json{{"dim", dim}, {"keepdim", keepdim}};
        t.add(op, {{"input", {shape, keepdim && dim.is_null() ? Fill::integers : Fill::distinct}}}, attributes);
      }
    for (const Shape& shape : {Shape{3, 5}, Shape{2, 3, 4, 3}, Shape{17, 3}}) t.add(op, {{"input", {shape, Fill::integers}}}, {{"dim", {1}}});
    t.add(op, {{"input", {{9, 9}, Fill::special}}}, {{"dim", {1}}});
    t.add(op, {{"input", {{3, 0, 2}}}}, {{"dim", {0}}});
  }
  for (const char* op : {"sum", "mean"}) t.add(op, {{"input", {{2, 0}}}}, {{"dim", {1}}});
  for (const char* op : {"max", "min", "argmax", "argmin"}) {
    for (const Fill fill : {Fill::distinct, Fill::integers})
      for (const auto& [shape, dims] : reductions()) {
        if (dims.is_array() && dims.size() > 1) continue;
        const json dim = dims.is_array() ? dims[0] : dims;
        t.add(op, {{"input", {shape, fill}}}, dim.is_null() ? json::object() : json{{"dim", dim}, {"keepdim", fill == Fill::integers}});
      }
    for (const int dim : {0, 1, 2, 3, -1}) t.add(op, {{"input", {{3, 4, 2, 5}, Fill::integers}}}, {{"dim", dim}});
    for (const int dim : {0, 1}) t.add(op, {{"input", {{9, 9}, Fill::special}}}, {{"dim", dim}});
    t.add(op, {{"input", {{3, 0, 2}}}}, {{"dim", 2}});
    t.add(op, {{"input", {{2, 3, 2, 3}, Fill::integers}}});
    t.add(op, {{"input", {{19, 33}}}}, {{"dim", 0}});
    t.add(op, {{"input", {{2, 3, 1, 7}}}}, {{"dim", -2}, {"keepdim", true}});
  }
}

void products(Table& t) {
  const std::vector<std::pair<Shape, Shape>> matrices{
      {{5}, {5}},       {{3, 4}, {4, 5}},       {{1, 1}, {1, 1}},          {{3, 4}, {4}},             {{4}, {4, 5}},          {{2, 3, 4}, {4, 5}},
      {{2, 3, 4}, {2, 4, 5}}, {{1, 3, 4}, {6, 4, 2}}, {{2, 3, 4}, {4}},    {{4}, {2, 4, 3}},          {{3, 4}, {2, 4, 5}},    {{2, 1, 3, 4}, {3, 4, 2}},
      {{2, 3, 2, 3}, {2, 3, 3, 2}}, {{0, 3}, {3, 2}}, {{3, 0}, {0, 2}},    {{2, 0, 3}, {2, 3, 1}},    {{7, 13}, {13, 11}},    {{1, 67}, {67, 1}},
      {{33, 1}, {1, 3}}, {{2, 1, 2, 1, 3}, {2, 1, 3, 2}}, {{17, 3}, {3, 17}}, {{3, 1, 5}, {3, 5, 1}}};
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const auto& [a, b] : matrices) t.add("matmul", {{"input", {a, fill}}, {"other", {b, fill}}});
  const std::vector<std::pair<Shape, std::int64_t>> lines{{{4, 5}, 3}, {{1, 1}, 1}, {{2, 3, 7}, 11}, {{6}, 2}, {{2, 2, 3, 13}, 5}, {{3, 61}, 7},
                                                          {{0, 3}, 2}, {{17, 2}, 1}, {{1, 9}, 17}, {{2, 1, 1, 5}, 4}, {{5, 16}, 10}};
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const auto& [x, out] : lines) {
      const Specs plain{{"input", {x, fill}}, {"weight", {{out, x.back()}, fill}}};
      Specs with_bias = plain;
      with_bias["bias"] = {{out}, fill};
      t.add("linear", plain);
      t.add("linear", with_bias);
    }
}

void conv2d(Table& t) {
  struct Geometry {
    Shape x, w;
    json attributes;
  };
  const std::vector<Geometry> geometries{
      {{2, 3, 5, 4}, {4, 3, 3, 3}, {}},
      {{1, 1, 1, 1}, {1, 1, 1, 1}, {}},
      {{2, 4, 6, 5}, {6, 4, 3, 2}, {{"stride", {2, 1}}, {"padding", {1, 0}}}},
      {{1, 6, 7, 5}, {9, 2, 3, 3}, {{"groups", 3}, {"dilation", {2, 1}}, {"padding", {2, 2}}}},
      {{1, 17, 3, 2}, {5, 17, 1, 1}, {}},
      {{1, 8, 4, 4}, {8, 1, 3, 3}, {{"groups", 8}, {"padding", 1}}},
      {{1, 2, 3, 23}, {3, 2, 2, 7}, {{"stride", {1, 3}}, {"padding", {0, 3}}}},
      {{1, 5, 4, 4}, {3, 5, 4, 4}, {}},
      {{1, 16, 6, 5}, {16, 16, 3, 3}, {}},
      {{2, 3, 4, 4}, {2, 3, 3, 3}, {{"stride", 3}, {"padding", 2}}},
      {{3, 1, 4, 3}, {2, 1, 2, 2}, {}},
      {{4, 3, 3}, {2, 4, 2, 2}, {}},
      {{0, 2, 4, 4}, {3, 2, 2, 2}, {}},
      {{1, 3, 5, 5}, {2, 3, 1, 3}, {{"padding", "valid"}}},
      {{1, 2, 9, 9}, {2, 2, 3, 3}, {{"dilation", 4}}},
      {{1, 4, 3, 3}, {6, 2, 3, 3}, {{"groups", 2}, {"padding", 1}, {"stride", {1, 2}}}},
      {{1, 1, 6, 6}, {3, 1, 3, 3}, {{"padding", {3, 3}}}},
  };
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const Geometry& g : geometries) {
      const Specs plain{{"input", {g.x, fill}}, {"weight", {g.w, fill}}};
      Specs with_bias = plain;
      with_bias["bias"] = {{g.w[0]}, fill};
      if (fill == Fill::distinct || g.x.size() == 4) t.add("conv2d", plain, g.attributes.is_null() ? json::object() : g.attributes);
      t.add("conv2d", with_bias, g.attributes.is_null() ? json::object() : g.attributes);
    }
}

void rearrange(Table& t) {
  const std::vector<std::pair<Shape, Shape>> reshapes{
      {{6}, {2, 3}}, {{2, 3}, {6}}, {{2, 3, 4}, {4, -1}}, {{2, 3, 2, 4}, {6, 8}}, {{6, 8}, {2, 3, 2, 4}}, {{2, 3, 2, 4}, {3, 4, 2, 2}}, {{}, {1}}, {{1}, {}},
      {{1, 1, 1, 1}, {}}, {{}, {1, 1, 1, 1}}, {{2, 3, 2, 4}, {-1}}, {{48}, {2, 3, 2, -1}}, {{2, 1, 3, 4}, {2, 3, 4}}, {{2, 7, 1, 1}, {2, 7}}, {{0, 3}, {3, 0}},
      {{2, 3, 2, 4}, {2, 3, 8}}, {{2, 3, 8}, {2, 3, 2, 4}}, {{2, 3, 2, 2, 2}, {2, 3, 4, 2}}, {{2, 3, 4, 2}, {2, 3, 2, 2, 2}}, {{101}, {101, 1}}, {{3, 5}, {3, 5}},
      {{0}, {0, 4}}};
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const auto& [from, to] : reshapes) t.add("reshape", {{"input", {from, fill}}}, {{"shape", to}});
  const std::vector<std::pair<Shape, std::vector<int>>> orders{
      {{}, {}}, {{5}, {0}}, {{3, 5}, {1, 0}}, {{3, 5}, {0, 1}}, {{2, 3, 5}, {2, 0, 1}}, {{2, 3, 5}, {0, 2, 1}}, {{2, 3, 5}, {-1, -2, -3}}, {{2, 3, 4, 5}, {0, 2, 3, 1}},
      {{2, 3, 4, 5}, {3, 2, 1, 0}}, {{2, 3, 4, 5}, {1, 0, 2, 3}}, {{2, 3, 4, 5}, {0, 1, 3, 2}}, {{2, 3, 4, 5}, {0, 1, 2, 3}}, {{2, 1, 3, 2, 2}, {4, 3, 2, 1, 0}},
      {{0, 3}, {1, 0}}, {{19, 17}, {1, 0}}, {{1, 37}, {1, 0}}, {{2, 33, 18}, {0, 2, 1}}, {{1, 2, 1, 3}, {2, 3, 0, 1}}, {{2, 3, 0, 2}, {3, 2, 1, 0}}, {{1, 1, 1}, {1, 2, 0}}};
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const auto& [shape, dims] : orders) t.add("permute", {{"input", {shape, fill}}}, {{"dims", dims}});
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const Shape& shape : {Shape{3, 5}, Shape{2, 3, 5}, Shape{2, 3, 4, 5}, Shape{1, 41}, Shape{2, 0, 3}, Shape{2, 1, 2, 3, 2}, Shape{17, 19}, Shape{7}}) {
      const int rank = static_cast<int>(shape.size());
      for (const auto& [a, b] : {std::pair(0, -1), std::pair(rank / 2, 0), std::pair(-1, -rank)}) t.add("transpose", {{"input", {shape, fill}}}, {{"dim0", a}, {"dim1", b}});
    }
  t.add("transpose", {{"input", {{}}}}, {{"dim0", 0}, {"dim1", -1}});
  const std::vector<std::pair<Shape, Shape>> widened{{{}, {3}}, {{1}, {5}}, {{3, 1}, {3, 4}}, {{3}, {2, 3}}, {{1, 3, 1, 1}, {2, 3, 4, 5}}, {{3, 1, 1}, {2, 3, 4, 2}}, {{5}, {2, 3, 4, 5}},
      {{2, 3}, {2, 3}}, {{1, 1}, {0, 3}}, {{}, {}}, {{1, 3, 1}, {7, 3, 5}}, {{4, 1, 2}, {2, 4, 3, 2}}, {{2, 3, 1, 5}, {2, 3, 4, 5}}, {{1, 2, 1, 3, 1}, {2, 2, 2, 3, 2}}, {{1, 67}, {2, 67}},
      {{67, 1}, {67, 2}}, {{1}, {1, 1, 1, 1}}, {{1, 1, 1, 1}, {2, 1, 3, 1}}, {{7, 1}, {1, 7, 1}}, {{1}, {0}}, {{2, 1}, {3, 2, 3}}};
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const auto& [from, to] : widened) t.add("broadcast_to", {{"input", {from, fill}}}, {{"size", to}});
}

void joining(Table& t) {
  const std::vector<std::pair<std::vector<Shape>, int>> joined{
      {{{3}, {5}}, 0}, {{{2, 3}, {4, 3}}, 0}, {{{2, 3}, {2, 1}, {2, 5}}, 1}, {{{2, 3, 4, 5}, {2, 1, 4, 5}}, 1}, {{{1, 3, 2, 5}, {2, 3, 2, 5}}, 0}, {{{2, 3, 4, 1}, {2, 3, 4, 3}}, -1},
      {{{2, 3, 1, 5}, {2, 3, 2, 5}}, 2}, {{{3, 4}}, 0}, {{{0}, {2, 3}}, 1}, {{{2, 0}, {2, 3}}, 1}, {{{0}, {0}}, 0}, {{{1}, {1}, {1}, {1}, {1}}, 0}, {{{2, 2, 3}, {2, 1, 3}}, -2},
      {{{1, 1, 2, 2, 2}, {1, 3, 2, 2, 2}}, 1}, {{{2, 17}, {2, 50}}, 1}, {{{17, 2}, {1, 2}}, 0}, {{{1, 1, 1, 1}, {1, 1, 1, 1}}, 1}, {{{3, 5}, {3, 5}}, -1}, {{{0, 3}, {0, 2}}, 1}, {{{2, 16, 1, 1}, {2, 3, 1, 1}}, 1}};
  const std::vector<std::tuple<Shape, int, int>> stacked{{{}, 3, 0}, {{5}, 2, 0}, {{5}, 2, 1}, {{2, 3}, 4, -1}, {{2, 3}, 2, 1}, {{2, 3, 4}, 2, 0}, {{2, 3, 4}, 3, 1}, {{2, 3, 4}, 2, 3}, {{2, 3, 2, 2}, 2, 0},
      {{2, 3, 2, 2}, 2, 2}, {{2, 3, 2, 2}, 2, -1}, {{0}, 2, 0}, {{1}, 1, 0}, {{1, 1}, 5, 1}, {{2, 0, 3}, 2, 1}, {{37}, 2, 1}, {{1, 2, 1, 3}, 3, 1}, {{4, 1}, 2, -2}, {{3, 2, 2}, 2, 2}, {{7, 5}, 3, 0}};
  const std::vector<std::pair<Shape, json>> cut{
      {{6}, {{"split_size_or_sections", 2}}}, {{7}, {{"split_size_or_sections", 3}}}, {{7}, {{"split_size_or_sections", {1, 4, 2}}}}, {{2, 9}, {{"split_size_or_sections", 4}, {"dim", 1}}},
      {{2, 6, 3, 4}, {{"split_size_or_sections", {2, 4}}, {"dim", 1}}}, {{2, 6, 3, 4}, {{"split_size_or_sections", 1}, {"dim", 2}}}, {{2, 6, 3, 4}, {{"split_size_or_sections", 3}, {"dim", -1}}},
      {{4, 2, 3, 2}, {{"split_size_or_sections", {1, 3}}}}, {{3, 5}, {{"split_size_or_sections", 10}}}, {{3, 5}, {{"split_size_or_sections", {3}}}}, {{0, 3}, {{"split_size_or_sections", 2}}},
      {{4, 3}, {{"split_size_or_sections", {0, 4}}}}, {{1}, {{"split_size_or_sections", 1}}}, {{2, 1, 5, 2, 2}, {{"split_size_or_sections", 2}, {"dim", 2}}}, {{2, 41}, {{"split_size_or_sections", 7}, {"dim", 1}}},
      {{41, 2}, {{"split_size_or_sections", 40}}}, {{2, 3, 4}, {{"split_size_or_sections", {1, 1, 1}}, {"dim", -2}}}, {{2, 16, 2, 1}, {{"split_size_or_sections", 8}, {"dim", 1}}}, {{5, 1}, {{"split_size_or_sections", 5}}},
      {{1, 1, 1, 4}, {{"split_size_or_sections", 3}, {"dim", 3}}}};
  for (const Fill fill : {Fill::distinct, Fill::integers}) {
    for (const auto& [parts, dim] : joined) {
      Specs specs;
      for (std::size_t i = 0; i < parts.size(); ++i) specs[fmt::format("tensors.{}", i)] = {parts[i], fill};
      t.add("cat", specs, {{"dim", dim}});
    }
    for (const auto& [shape, count, dim] : stacked) {
      Specs specs;
      for (int i = 0; i < count; ++i) specs[fmt::format("tensors.{}", i)] = {shape, fill};
      t.add("stack", specs, {{"dim", dim}});
    }
    for (const auto& [shape, attributes] : cut) t.add("split", {{"tensor", {shape, fill}}}, attributes);
    for (const auto& [x, index, dim] : std::vector<std::tuple<Shape, Shape, int>>{
             {{5}, {3}, 0}, {{3, 5}, {3, 2}, 1}, {{3, 5}, {7, 5}, 0}, {{3, 5}, {2, 4}, 1}, {{2, 3, 4}, {2, 3, 4}, 2}, {{2, 3, 4}, {1, 9, 2}, -2}, {{2, 3, 4, 5}, {2, 6, 4, 5}, 1}, {{2, 3, 4, 5}, {2, 3, 4, 2}, 3},
             {{2, 3, 4, 5}, {4, 2, 3, 1}, 0}, {{2, 3, 4, 5}, {1, 1, 1, 1}, 2}, {{1}, {6}, 0}, {{3, 5}, {0, 5}, 0}, {{3, 5}, {3, 0}, 1}, {{}, {}, 0}, {{}, {1}, 0}, {{2, 67}, {2, 3}, 1}, {{67, 2}, {5, 2}, 0},
             {{1, 2, 2, 2, 3}, {1, 2, 2, 2, 5}, 4}, {{10, 1}, {10, 1}, 0}, {{4, 7, 1, 1}, {4, 2, 1, 1}, 1}, {{7}, {}, 0}})
      t.add("gather", {{"input", {x, fill}}, {"index", {index, Fill::indices, x.empty() ? 1 : x[static_cast<std::size_t>(normalize_dim(dim, static_cast<int>(x.size()), "cases"))]}}}, {{"dim", dim}});
  }
}

void pooling(Table& t) {
  const std::vector<Shape> images{{2, 3, 6, 8}, {1, 1, 7, 5}, {1, 35, 5, 4}, {4, 7, 6}, {1, 2, 8, 11}};
  const std::vector<json> windows{
      {{"kernel_size", 2}}, {{"kernel_size", {3, 2}}, {"stride", {2, 1}}, {"padding", {1, 1}}}, {{"kernel_size", 3}, {"stride", 2}, {"ceil_mode", true}}, {{"kernel_size", {2, 3}}, {"stride", {1, 2}}},
      {{"kernel_size", 3}, {"stride", 1}, {"padding", 1}}, {{"kernel_size", 1}}, {{"kernel_size", 4}, {"stride", 3}, {"padding", 2}, {"ceil_mode", true}}};
  for (const Shape& image : images)
    for (const json& window : windows) {
      t.add("max_pool2d", {{"input", {image, Fill::distinct}}}, window);
      if (image[0] != 2) t.add("max_pool2d", {{"input", {image, Fill::integers}}}, window);
      json average = window;
      t.add("avg_pool2d", {{"input", {image, Fill::distinct}}}, average);
      average["count_include_pad"] = false;
      if (window.contains("padding")) t.add("avg_pool2d", {{"input", {image, Fill::integers}}}, average);
    }
  t.add("max_pool2d", {{"input", {{1, 2, 8, 11}}}}, {{"kernel_size", 3}, {"stride", {1, 2}}, {"dilation", {2, 1}}, {"padding", {1, 0}}});
  t.add("max_pool2d", {{"input", {{1, 2, 9, 9}}}}, {{"kernel_size", 2}, {"dilation", 4}, {"ceil_mode", true}});
  t.add("max_pool2d", {{"input", {{2, 1, 5, 5}, Fill::special}}}, {{"kernel_size", 2}, {"stride", 1}});
  t.add("avg_pool2d", {{"input", {{2, 1, 5, 5}, Fill::special}}}, {{"kernel_size", 2}, {"stride", 1}});
  for (const char* op : {"max_pool2d", "avg_pool2d"}) t.add(op, {{"input", {{0, 2, 4, 4}}}}, {{"kernel_size", 2}});
  for (const int divisor : {1, 3, -2}) t.add("avg_pool2d", {{"input", {{2, 3, 5, 5}}}}, {{"kernel_size", 2}, {"padding", 1}, {"divisor_override", divisor}});
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const Shape& image : images) {
      for (const json& size : {json(1), json(2), json{3, 5}, json{nullptr, 1}, json{7, nullptr}}) t.add("adaptive_avg_pool2d", {{"input", {image, fill}}}, {{"output_size", size}});
      t.add("global_avg_pool", {{"input", {image, fill}}});
    }
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const Shape& image : {Shape{1, 1, 1, 1}, Shape{3, 33, 4, 4}, Shape{2, 5, 1, 9}, Shape{2, 5, 9, 1}, Shape{1, 64, 2, 2}, Shape{1, 65, 1, 1}, Shape{0, 3, 2, 2}, Shape{7, 1, 3, 3}, Shape{3, 5, 7}, Shape{2, 2, 13, 3},
                              Shape{1, 129, 1, 2}, Shape{5, 3, 2, 2}, Shape{1, 16, 6, 6}, Shape{2, 3, 1, 1}, Shape{1, 1, 41, 1}, Shape{1, 2, 3}})
      t.add("global_avg_pool", {{"input", {image, fill}}});
}

void normalisation(Table& t) {
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const Shape& shape : {Shape{3, 5, 2, 3}, Shape{6, 16, 1, 1}, Shape{1, 1, 3, 3}, Shape{2, 33, 2, 2}, Shape{7, 3}, Shape{20, 2, 2, 1}, Shape{2, 3, 5}, Shape{2, 2, 1, 3, 2}, Shape{2, 17}, Shape{53, 1}}) {
      const Specs buffers{{"running_mean", {{shape[1]}, Fill::distinct}}, {"running_var", {{shape[1]}, Fill::positive}}};
      Specs all = buffers;
      all["input"] = {shape, fill};
      all["weight"] = {{shape[1]}, Fill::distinct};
      all["bias"] = {{shape[1]}, Fill::distinct};
      // Equal whole numbers have no variance, and 1/√1e-5 would magnify f32's rounding past any fixed bound.
      const double eps = fill == Fill::integers ? 1e-2 : 1e-5;
      t.add("batch_norm", all, {{"training", true}, {"momentum", 0.1}, {"eps", eps}});
      t.add("batch_norm", all, {{"training", false}, {"eps", 1e-3}});
      t.add("batch_norm", {{"input", {shape, fill}}}, {{"training", true}, {"eps", 0.5}});
      all.erase("bias");
      t.add("batch_norm", all, {{"training", fill == Fill::integers}, {"momentum", 0.7}, {"eps", eps}});
    }
  const std::vector<std::pair<Shape, Shape>> norms{{{3, 5}, {5}}, {{1, 1}, {1}}, {{2, 3, 7}, {7}}, {{2, 3, 7}, {3, 7}}, {{2, 3, 4, 5}, {5}}, {{2, 3, 4, 5}, {3, 4, 5}}, {{5}, {5}}, {{0, 4}, {4}}, {{2, 61}, {61}}, {{17, 3}, {3}},
                                                   {{2, 3, 2, 2, 3}, {2, 3}}};
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const auto& [shape, normalized] : norms) {
      t.add("layer_norm", {{"input", {shape, fill}}, {"weight", {normalized}}, {"bias", {normalized}}}, {{"normalized_shape", normalized}});
      t.add("layer_norm", {{"input", {shape, fill}}}, {{"normalized_shape", normalized}, {"eps", 0.25}});
    }
  const std::vector<std::pair<Shape, int>> lines{{{5, 10}, 1}, {{3, 7}, 0}, {{2, 3, 4, 5}, 1}, {{2, 3, 4, 5}, 3}, {{2, 3, 4, 5}, -2}, {{2, 3, 4, 5}, 0}, {{4, 1}, 1}, {{3, 4, 5}, 1}, {{7}, 0}, {{}, 0}, {{2, 67}, 1}, {{67, 2}, 0},
                                                 {{0, 3}, 1}, {{3, 0}, 1}, {{2, 3, 0}, 1}, {{1, 1}, -1}, {{2, 2, 2, 2, 2}, 2}, {{2, 130}, 0}, {{3, 17}, -1}, {{1, 35, 2, 1}, 1}};
  for (const char* op : {"softmax", "log_softmax"}) {
    for (const Fill fill : {Fill::distinct, Fill::integers})
      for (const auto& [shape, dim] : lines) t.add(op, {{"input", {shape, fill}}}, {{"dim", dim}});
    for (const int dim : {0, 1}) t.add(op, {{"input", {{9, 9}, Fill::special}}}, {{"dim", dim}});
  }
}

void losses(Table& t) {
  const std::vector<std::pair<Shape, Shape>> scores{{{5, 10}, {5}}, {{1, 1}, {1}}, {{11, 7}, {11}}, {{7}, {}}, {{2, 5, 3}, {2, 3}}, {{2, 5, 2, 3}, {2, 2, 3}}, {{1, 3, 2, 1, 2}, {1, 2, 1, 2}}, {{2, 51}, {2}}, {{0, 3}, {0}}};
  for (const char* op : {"nll_loss", "cross_entropy"})
    for (const auto& [x, target] : scores)
      for (const char* reduction : {"mean", "sum", "none"}) {
        const std::int64_t classes = x[x.size() == 1 ? 0 : 1];
        Specs specs{{"input", {x}}, {"target", {target, Fill::classes, classes}}};
        t.add(op, specs, {{"reduction", reduction}});
        specs["weight"] = {{classes}, Fill::positive};
        json attributes{{"reduction", reduction}, {"ignore_index", 0}};
        if (std::string(op) == "cross_entropy") attributes["label_smoothing"] = 0.3;
        t.add(op, specs, attributes);
      }
  for (const Shape& x : {Shape{5, 4}, Shape{2, 5, 2, 3}})
    for (const char* reduction : {"mean", "sum", "none"}) {
      t.add("cross_entropy", {{"input", {x}}, {"target", {x, Fill::probabilities}}}, {{"reduction", reduction}});
      t.add("cross_entropy", {{"input", {x}}, {"target", {x, Fill::probabilities}}, {"weight", {{x[1]}, Fill::positive}}}, {{"reduction", reduction}, {"label_smoothing", 0.2}});
    }
  const std::vector<json> reductions{{{"reduction", "mean"}}, {{"reduction", "sum"}}, {{"reduction", "none"}}};
  for (const char* op : {"mse_loss", "l1_loss"}) binary(t, op, "input", "target", Fill::distinct, Fill::positive, reductions);
  binary(t, "huber_loss", "input", "target", Fill::distinct, Fill::positive, {{{"reduction", "mean"}, {"delta", 0.75}}, {{"reduction", "sum"}}, {{"reduction", "none"}, {"delta", 2.0}}});
}

}  // namespace

const std::vector<OpCase>& case_table() {
  static const std::vector<OpCase> cases = [] {
    if (const char* line = std::getenv("MICA_CASE")) return std::vector<OpCase>{parse_case(line)};
    Table t;
    for (const auto family : {elementwise, reduce, products, conv2d, rearrange, joining, pooling, normalisation, losses}) family(t);
    return t.cases;
  }();
  return cases;
}

}  // namespace mica::test
