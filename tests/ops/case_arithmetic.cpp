// Reductions, matrix products and convolution.
#include "case_families.h"

namespace mica::test {

using nlohmann::json;

namespace {

const std::vector<std::pair<Shape, json>>& reduced_dims() {
  static const std::vector<std::pair<Shape, json>> all{
      {{3, 5}, 0},  {{3, 5}, {1}},          {{2, 3, 4, 5}, {1}}, {{2, 3, 4, 5}, {0, 2, 3}}, {{2, 3, 4, 5}, {3, 0}}, {{2, 3,
          4, 5}, {-3, -2, -1}},
      {{7}, {0}},   {{2, 3, 4, 2, 2}, {0}}, {{2, 3, 7}, {-1}},   {{2, 3, 7}, {0, 1}},       {{1, 1, 1}, {1}},       {{2,
          131}, {1}},
      {{131, 2}, 0}, {{1, 70, 2, 2}, {2, 3}}, {{1, 70, 2, 2}, {1}}, {{}, {0}},              {{3, 1, 2, 5}, {0}},     {{2, 3,
          5, 7}, nullptr},
      {{1}, nullptr}, {{41}, nullptr}};
  return all;
}

}  // namespace

void reductions(Table& t) {
  for (const char* op : {"sum", "mean", "amax", "amin"}) {
    for (const bool keepdim : {false, true})
      for (const auto& [shape, dim] : reduced_dims()) {
        const json attributes = dim.is_null() ? json::object() : json{{"dim", dim}, {"keepdim", keepdim}};
        t.add(op, {{"input", {shape, keepdim && dim.is_null() ? Fill::integers : Fill::distinct}}}, attributes);
      }
    for (const Shape& shape : {Shape{3, 5}, Shape{2, 3, 4, 3}, Shape{17, 3}}) t.add(op, {{"input", {shape,
        Fill::integers}}}, {{"dim", {1}}});
    t.add(op, {{"input", {{9, 9}, Fill::special}}}, {{"dim", {1}}});
    t.add(op, {{"input", {{3, 0, 2}}}}, {{"dim", {0}}});
  }
  for (const char* op : {"sum", "mean"}) t.add(op, {{"input", {{2, 0}}}}, {{"dim", {1}}});
  for (const char* op : {"max", "min", "argmax", "argmin"}) {
    for (const Fill fill : {Fill::distinct, Fill::integers})
      for (const auto& [shape, dims] : reduced_dims()) {
        if (dims.is_array() && dims.size() > 1) continue;
        const json dim = dims.is_array() ? dims[0] : dims;
        t.add(op, {{"input", {shape, fill}}}, dim.is_null() ? json::object() : json{{"dim", dim}, {"keepdim",
            fill == Fill::integers}});
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
  t.add("matmul", {{"input", {{3, 4}, Fill::special}}, {"other", {{4, 5}, Fill::positive}}});
  t.add("linear", {{"input", {{3, 4}, Fill::special}}, {"weight", {{5, 4}, Fill::positive}}, {"bias", {{5}}}});
  t.add("conv2d", {{"input", {{1, 2, 4, 4}, Fill::special}}, {"weight", {{3, 2, 2, 2}, Fill::positive}}});
  const std::vector<std::pair<Shape, Shape>> matrices{
      {{5}, {5}},       {{3, 4}, {4, 5}},       {{1, 1}, {1, 1}},          {{3, 4}, {4}},             {{4}, {4, 5}},
                   {{2, 3, 4}, {4, 5}},
      {{2, 3, 4}, {2, 4, 5}}, {{1, 3, 4}, {6, 4, 2}}, {{2, 3, 4}, {4}},    {{4}, {2, 4, 3}},          {{3, 4}, {2, 4, 5}},
             {{2, 1, 3, 4}, {3, 4, 2}},
      {{2, 3, 2, 3}, {2, 3, 3, 2}}, {{0, 3}, {3, 2}}, {{3, 0}, {0, 2}},    {{2, 0, 3}, {2, 3, 1}},    {{7, 13}, {13, 11}},
             {{1, 67}, {67, 1}},
      {{33, 1}, {1, 3}}, {{2, 1, 2, 1, 3}, {2, 1, 3, 2}}, {{17, 3}, {3, 17}}, {{3, 1, 5}, {3, 5, 1}}};
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const auto& [a, b] : matrices) t.add("matmul", {{"input", {a, fill}}, {"other", {b, fill}}});
  const std::vector<std::pair<Shape, std::int64_t>> lines{{{4, 5}, 3}, {{1, 1}, 1}, {{2, 3, 7}, 11}, {{6}, 2}, {{2, 2, 3,
      13}, 5}, {{3, 61}, 7},
                                                          {{0, 3}, 2}, {{17, 2}, 1}, {{1, 9}, 17}, {{2, 1, 1, 5}, 4}, {{5,
                                                              16}, 10}};
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const auto& [x, out] : lines) {
      const Specs plain{{"input", {x, fill}}, {"weight", {{out, x.back()}, fill}}};
      Specs with_bias = plain;
      with_bias["bias"] = {{out}, fill};
      t.add("linear", plain);
      t.add("linear", with_bias);
    }
}

void convolution(Table& t) {
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
      {{1, 3, 4, 5}, {2, 3, 3, 3}, {{"padding", "same"}}},
      {{2, 3, 5, 4}, {2, 3, 2, 4}, {{"padding", "same"}}},
      {{1, 2, 5, 6}, {2, 1, 4, 3}, {{"padding", "same"}, {"dilation", {1, 2}}, {"groups", 2}}},
      {{1, 2, 9, 9}, {2, 2, 3, 3}, {{"dilation", 4}}},
      {{1, 4, 3, 3}, {6, 2, 3, 3}, {{"groups", 2}, {"padding", 1}, {"stride", {1, 2}}}},
      {{1, 1, 6, 6}, {3, 1, 3, 3}, {{"padding", {3, 3}}}},
  };
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const Geometry& g : geometries) {
      const Specs plain{{"input", {g.x, fill}}, {"weight", {g.w, fill}}};
      Specs with_bias = plain;
      with_bias["bias"] = {{g.w[0]}, fill};
      if (fill == Fill::distinct || g.x.size() == 4) t.add("conv2d", plain,
          g.attributes.is_null() ? json::object() : g.attributes);
      t.add("conv2d", with_bias, g.attributes.is_null() ? json::object() : g.attributes);
    }
}

}  // namespace mica::test
