// Moving, joining, cutting and indexing.
#include "case_families.h"

#include <fmt/format.h>

namespace mica::test {

using nlohmann::json;

void rearranging(Table& t) {
  const std::vector<std::pair<Shape, Shape>> reshapes{
      {{6}, {2, 3}}, {{2, 3}, {6}}, {{2, 3, 4}, {4, -1}}, {{2, 3, 2, 4}, {6, 8}}, {{6, 8}, {2, 3, 2, 4}}, {{2, 3, 2, 4}, {3,
          4, 2, 2}}, {{}, {1}}, {{1}, {}},
      {{1, 1, 1, 1}, {}}, {{}, {1, 1, 1, 1}}, {{2, 3, 2, 4}, {-1}}, {{48}, {2, 3, 2, -1}}, {{2, 1, 3, 4}, {2, 3, 4}}, {{2,
          7, 1, 1}, {2, 7}}, {{0, 3}, {3, 0}},
      {{2, 3, 2, 4}, {2, 3, 8}}, {{2, 3, 8}, {2, 3, 2, 4}}, {{2, 3, 2, 2, 2}, {2, 3, 4, 2}}, {{2, 3, 4, 2}, {2, 3, 2, 2,
          2}}, {{101}, {101, 1}}, {{3, 5}, {3, 5}},
      {{0}, {0, 4}}};
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const auto& [from, to] : reshapes) t.add("reshape", {{"input", {from, fill}}}, {{"shape", to}});
  const std::vector<std::pair<Shape, std::vector<int>>> orders{
      {{}, {}}, {{5}, {0}}, {{3, 5}, {1, 0}}, {{3, 5}, {0, 1}}, {{2, 3, 5}, {2, 0, 1}}, {{2, 3, 5}, {0, 2, 1}}, {{2, 3, 5},
          {-1, -2, -3}}, {{2, 3, 4, 5}, {0, 2, 3, 1}},
      {{2, 3, 4, 5}, {3, 2, 1, 0}}, {{2, 3, 4, 5}, {1, 0, 2, 3}}, {{2, 3, 4, 5}, {0, 1, 3, 2}}, {{2, 3, 4, 5}, {0, 1, 2,
          3}}, {{2, 1, 3, 2, 2}, {4, 3, 2, 1, 0}},
      {{0, 3}, {1, 0}}, {{19, 17}, {1, 0}}, {{1, 37}, {1, 0}}, {{2, 33, 18}, {0, 2, 1}}, {{1, 2, 1, 3}, {2, 3, 0, 1}}, {{2,
          3, 0, 2}, {3, 2, 1, 0}}, {{1, 1, 1}, {1, 2, 0}}};
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const auto& [shape, dims] : orders) t.add("permute", {{"input", {shape, fill}}}, {{"dims", dims}});
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const Shape& shape : {Shape{3, 5}, Shape{2, 3, 5}, Shape{2, 3, 4, 5}, Shape{1, 41}, Shape{2, 0, 3}, Shape{2, 1, 2,
        3, 2}, Shape{17, 19}, Shape{7}}) {
      const int rank = static_cast<int>(shape.size());
      for (const auto& [a, b] : {std::pair(0, -1), std::pair(rank / 2, 0), std::pair(-1, -rank)}) t.add("transpose",
          {{"input", {shape, fill}}}, {{"dim0", a}, {"dim1", b}});
    }
  t.add("transpose", {{"input", {{}}}}, {{"dim0", 0}, {"dim1", -1}});
  const std::vector<std::pair<Shape, Shape>> widened{{{}, {3}}, {{1}, {5}}, {{3, 1}, {3, 4}}, {{3}, {2, 3}}, {{1, 3, 1, 1},
      {2, 3, 4, 5}}, {{3, 1, 1}, {2, 3, 4, 2}}, {{5}, {2, 3, 4, 5}},
      {{2, 3}, {2, 3}}, {{1, 1}, {0, 3}}, {{}, {}}, {{1, 3, 1}, {7, 3, 5}}, {{4, 1, 2}, {2, 4, 3, 2}}, {{2, 3, 1, 5}, {2, 3,
          4, 5}}, {{1, 2, 1, 3, 1}, {2, 2, 2, 3, 2}}, {{1, 67}, {2, 67}},
      {{67, 1}, {67, 2}}, {{1}, {1, 1, 1, 1}}, {{1, 1, 1, 1}, {2, 1, 3, 1}}, {{7, 1}, {1, 7, 1}}, {{1}, {0}}, {{2, 1}, {3,
          2, 3}}};
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const auto& [from, to] : widened) t.add("broadcast_to", {{"input", {from, fill}}}, {{"size", to}});
}

void joining(Table& t) {
  for (const int dim : {0, 1})
    t.add("cat", {{"tensors.0", {{3, 5}, Fill::special}}, {"tensors.1", {{3, 5}, Fill::special}}}, {{"dim", dim}});
  t.add("gather", {{"input", {{7, 5}, Fill::special}}, {"index", {{9, 5}, Fill::indices, 7}}}, {{"dim", 0}});
  t.add("split", {{"tensor", {{2, 16, 3, 3}, Fill::special}}}, {{"split_size_or_sections", 5}, {"dim", 1}});
  t.add("permute", {{"input", {{2, 3, 4, 5}, Fill::special}}}, {{"dims", {3, 1, 0, 2}}});
  const std::vector<std::pair<std::vector<Shape>, int>> joined{
      {{{3}, {5}}, 0}, {{{2, 3}, {4, 3}}, 0}, {{{2, 3}, {2, 1}, {2, 5}}, 1}, {{{2, 3, 4, 5}, {2, 1, 4, 5}}, 1}, {{{1, 3, 2,
          5}, {2, 3, 2, 5}}, 0}, {{{2, 3, 4, 1}, {2, 3, 4, 3}}, -1},
      {{{2, 3, 1, 5}, {2, 3, 2, 5}}, 2}, {{{3, 4}}, 0}, {{{0}, {2, 3}}, 1}, {{{2, 0}, {2, 3}}, 1}, {{{0}, {0}}, 0}, {{{1},
          {1}, {1}, {1}, {1}}, 0}, {{{2, 2, 3}, {2, 1, 3}}, -2},
      {{{1, 1, 2, 2, 2}, {1, 3, 2, 2, 2}}, 1}, {{{2, 17}, {2, 50}}, 1}, {{{17, 2}, {1, 2}}, 0}, {{{1, 1, 1, 1}, {1, 1, 1,
          1}}, 1}, {{{3, 5}, {3, 5}}, -1}, {{{0, 3}, {0, 2}}, 1}, {{{2, 16, 1, 1}, {2, 3, 1, 1}}, 1}};
  const std::vector<std::tuple<Shape, int, int>> stacked{{{}, 3, 0}, {{5}, 2, 0}, {{5}, 2, 1}, {{2, 3}, 4, -1}, {{2, 3}, 2,
      1}, {{2, 3, 4}, 2, 0}, {{2, 3, 4}, 3, 1}, {{2, 3, 4}, 2, 3}, {{2, 3, 2, 2}, 2, 0},
      {{2, 3, 2, 2}, 2, 2}, {{2, 3, 2, 2}, 2, -1}, {{0}, 2, 0}, {{1}, 1, 0}, {{1, 1}, 5, 1}, {{2, 0, 3}, 2, 1}, {{37}, 2,
          1}, {{1, 2, 1, 3}, 3, 1}, {{4, 1}, 2, -2}, {{3, 2, 2}, 2, 2}, {{7, 5}, 3, 0}};
  const std::vector<std::pair<Shape, json>> cut{
      {{6}, {{"split_size_or_sections", 2}}}, {{7}, {{"split_size_or_sections", 3}}}, {{7}, {{"split_size_or_sections", {1,
          4, 2}}}}, {{2, 9}, {{"split_size_or_sections", 4}, {"dim", 1}}},
      {{2, 6, 3, 4}, {{"split_size_or_sections", {2, 4}}, {"dim", 1}}}, {{2, 6, 3, 4}, {{"split_size_or_sections", 1},
          {"dim", 2}}}, {{2, 6, 3, 4}, {{"split_size_or_sections", 3}, {"dim", -1}}},
      {{4, 2, 3, 2}, {{"split_size_or_sections", {1, 3}}}}, {{3, 5}, {{"split_size_or_sections", 10}}}, {{3, 5},
          {{"split_size_or_sections", {3}}}}, {{0, 3}, {{"split_size_or_sections", 2}}},
      {{4, 3}, {{"split_size_or_sections", {0, 4}}}}, {{1}, {{"split_size_or_sections", 1}}}, {{2, 1, 5, 2, 2},
          {{"split_size_or_sections", 2}, {"dim", 2}}}, {{2, 41}, {{"split_size_or_sections", 7}, {"dim", 1}}},
      {{41, 2}, {{"split_size_or_sections", 40}}}, {{2, 3, 4}, {{"split_size_or_sections", {1, 1, 1}}, {"dim", -2}}}, {{2,
          16, 2, 1}, {{"split_size_or_sections", 8}, {"dim", 1}}}, {{5, 1}, {{"split_size_or_sections", 5}}},
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
             {{5}, {3}, 0}, {{3, 5}, {3, 2}, 1}, {{3, 5}, {7, 5}, 0}, {{3, 5}, {2, 4}, 1}, {{2, 3, 4}, {2, 3, 4}, 2}, {{2,
                 3, 4}, {1, 9, 2}, -2}, {{2, 3, 4, 5}, {2, 6, 4, 5}, 1}, {{2, 3, 4, 5}, {2, 3, 4, 2}, 3},
             {{2, 3, 4, 5}, {4, 2, 3, 1}, 0}, {{2, 3, 4, 5}, {1, 1, 1, 1}, 2}, {{1}, {6}, 0}, {{3, 5}, {0, 5}, 0}, {{3, 5},
                 {3, 0}, 1}, {{}, {}, 0}, {{}, {1}, 0}, {{2, 67}, {2, 3}, 1}, {{67, 2}, {5, 2}, 0},
             {{1, 2, 2, 2, 3}, {1, 2, 2, 2, 5}, 4}, {{10, 1}, {10, 1}, 0}, {{4, 7, 1, 1}, {4, 2, 1, 1}, 1}, {{7}, {}, 0}})
      t.add("gather", {{"input", {x, fill}}, {"index", {index, Fill::indices,
          x.empty() ? 1 : x[static_cast<std::size_t>(normalize_dim(dim, static_cast<int>(x.size()), "cases"))]}}}, {{"dim",
          dim}});
  }
}

}  // namespace mica::test
