// What networks are made of: pooling, normalisation, losses.
#include "case_families.h"

namespace mica::test {

using nlohmann::json;

void pooling(Table& t) {
  const std::vector<Shape> images{{2, 3, 6, 8}, {1, 1, 7, 5}, {1, 35, 5, 4}, {4, 7, 6}, {1, 2, 8, 11}};
  const std::vector<json> windows{
      {{"kernel_size", 2}}, {{"kernel_size", {3, 2}}, {"stride", {2, 1}}, {"padding", {1, 1}}}, {{"kernel_size", 3},
          {"stride", 2}, {"ceil_mode", true}}, {{"kernel_size", {2, 3}}, {"stride", {1, 2}}},
      {{"kernel_size", 3}, {"stride", 1}, {"padding", 1}}, {{"kernel_size", 1}}, {{"kernel_size", 4}, {"stride", 3},
          {"padding", 2}, {"ceil_mode", true}}};
  for (const Shape& image : images)
    for (const json& window : windows) {
      t.add("max_pool2d", {{"input", {image, Fill::distinct}}}, window);
      if (image[0] != 2) t.add("max_pool2d", {{"input", {image, Fill::integers}}}, window);
      json average = window;
      t.add("avg_pool2d", {{"input", {image, Fill::distinct}}}, average);
      average["count_include_pad"] = false;
      if (window.contains("padding")) t.add("avg_pool2d", {{"input", {image, Fill::integers}}}, average);
    }
  t.add("max_pool2d", {{"input", {{1, 2, 8, 11}}}}, {{"kernel_size", 3}, {"stride", {1, 2}}, {"dilation", {2, 1}},
      {"padding", {1, 0}}});
  t.add("max_pool2d", {{"input", {{1, 2, 9, 9}}}}, {{"kernel_size", 2}, {"dilation", 4}, {"ceil_mode", true}});
  t.add("max_pool2d", {{"input", {{2, 1, 5, 5}, Fill::special}}}, {{"kernel_size", 2}, {"stride", 1}});
  t.add("avg_pool2d", {{"input", {{2, 1, 5, 5}, Fill::special}}}, {{"kernel_size", 2}, {"stride", 1}});
  for (const char* op : {"max_pool2d", "avg_pool2d"}) t.add(op, {{"input", {{0, 2, 4, 4}}}}, {{"kernel_size", 2}});
  for (const int divisor : {1, 3, -2}) t.add("avg_pool2d", {{"input", {{2, 3, 5, 5}}}}, {{"kernel_size", 2}, {"padding", 1},
      {"divisor_override", divisor}});
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const Shape& image : images) {
      for (const json& size : {json(1), json(2), json{3, 5}, json{nullptr, 1}, json{7,
          nullptr}}) t.add("adaptive_avg_pool2d", {{"input", {image, fill}}}, {{"output_size", size}});
      t.add("global_avg_pool", {{"input", {image, fill}}});
    }
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const Shape& image : {Shape{1, 1, 1, 1}, Shape{3, 33, 4, 4}, Shape{2, 5, 1, 9}, Shape{2, 5, 9, 1}, Shape{1, 64, 2,
        2}, Shape{1, 65, 1, 1}, Shape{0, 3, 2, 2}, Shape{7, 1, 3, 3}, Shape{3, 5, 7}, Shape{2, 2, 13, 3},
                              Shape{1, 129, 1, 2}, Shape{5, 3, 2, 2}, Shape{1, 16, 6, 6}, Shape{2, 3, 1, 1}, Shape{1, 1, 41,
                                  1}, Shape{1, 2, 3}})
      t.add("global_avg_pool", {{"input", {image, fill}}});
}

void normalisation(Table& t) {
  t.add("batch_norm",
        {{"input", {{5, 17, 2, 2}, Fill::special}}, {"weight", {{17}}}, {"bias", {{17}}}, {"running_mean", {{17}}},
         {"running_var", {{17}, Fill::positive}}},
        {{"training", false}});
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const Shape& shape : {Shape{3, 5, 2, 3}, Shape{6, 16, 1, 1}, Shape{1, 1, 3, 3}, Shape{2, 33, 2, 2}, Shape{7, 3},
        Shape{20, 2, 2, 1}, Shape{2, 3, 5}, Shape{2, 2, 1, 3, 2}, Shape{2, 17}, Shape{53, 1}}) {
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
  const std::vector<std::pair<Shape, Shape>> norms{{{3, 5}, {5}}, {{1, 1}, {1}}, {{2, 3, 7}, {7}}, {{2, 3, 7}, {3, 7}}, {{2,
      3, 4, 5}, {5}}, {{2, 3, 4, 5}, {3, 4, 5}}, {{5}, {5}}, {{0, 4}, {4}}, {{2, 61}, {61}}, {{17, 3}, {3}},
                                                   {{2, 3, 2, 2, 3}, {2, 3}}};
  for (const Fill fill : {Fill::distinct, Fill::integers})
    for (const auto& [shape, normalized] : norms) {
      t.add("layer_norm", {{"input", {shape, fill}}, {"weight", {normalized}}, {"bias", {normalized}}},
          {{"normalized_shape", normalized}});
      t.add("layer_norm", {{"input", {shape, fill}}}, {{"normalized_shape", normalized}, {"eps", 0.25}});
    }
  const std::vector<std::pair<Shape, int>> lines{{{5, 10}, 1}, {{3, 7}, 0}, {{2, 3, 4, 5}, 1}, {{2, 3, 4, 5}, 3}, {{2, 3, 4,
      5}, -2}, {{2, 3, 4, 5}, 0}, {{4, 1}, 1}, {{3, 4, 5}, 1}, {{7}, 0}, {{}, 0}, {{2, 67}, 1}, {{67, 2}, 0},
                                                 {{0, 3}, 1}, {{3, 0}, 1}, {{2, 3, 0}, 1}, {{1, 1}, -1}, {{2, 2, 2, 2, 2},
                                                     2}, {{2, 130}, 0}, {{3, 17}, -1}, {{1, 35, 2, 1}, 1}};
  for (const char* op : {"softmax", "log_softmax"}) {
    for (const Fill fill : {Fill::distinct, Fill::integers})
      for (const auto& [shape, dim] : lines) t.add(op, {{"input", {shape, fill}}}, {{"dim", dim}});
    for (const int dim : {0, 1}) t.add(op, {{"input", {{9, 9}, Fill::special}}}, {{"dim", dim}});
  }
}

void losses(Table& t) {
  const std::vector<std::pair<Shape, Shape>> scores{{{5, 10}, {5}}, {{1, 1}, {1}}, {{11, 7}, {11}}, {{7}, {}}, {{2, 5, 3},
      {2, 3}}, {{2, 5, 2, 3}, {2, 2, 3}}, {{1, 3, 2, 1, 2}, {1, 2, 1, 2}}, {{2, 51}, {2}}, {{0, 3}, {0}}};
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
  // One class, many, weights of zero, scores of ±∞ and NaN.
  for (const char* op : {"nll_loss", "cross_entropy"}) {
    const json smoothed = std::string(op) == "cross_entropy" ? json{{"label_smoothing", 0.1}} : json::object();
    for (const Shape& x : {Shape{6, 1}, Shape{3, 1031}, Shape{2, 7, 67}, Shape{2, 6, 3, 4}, Shape{9, 9}}) {
      Shape target = x;
      target.erase(target.begin() + 1);
      const ArgumentSpec classes{target, Fill::classes, x[1]}, weight{{x[1]}, Fill::integers};
      t.add(op, {{"input", {x}}, {"target", classes}}, smoothed);
      t.add(op, {{"input", {x}}, {"target", classes}, {"weight", weight}}, smoothed);
      if (x[1] > 1000) continue;
      for (const char* reduction : {"sum", "none"}) t.add(op, {{"input", {x, Fill::special}}, {"target", classes}}, {{"reduction", reduction}});
      json attributes{{"reduction", "none"}, {"ignore_index", 1}};
      attributes.update(smoothed);
      t.add(op, {{"input", {x, Fill::special}}, {"target", classes}, {"weight", {{x[1]}, Fill::positive}}}, attributes);
    }
  }
  for (const Shape& x : {Shape{5, 4}, Shape{2, 5, 2, 3}})
    for (const char* reduction : {"mean", "sum", "none"}) {
      t.add("cross_entropy", {{"input", {x}}, {"target", {x, Fill::probabilities}}}, {{"reduction", reduction}});
      t.add("cross_entropy", {{"input", {x}}, {"target", {x, Fill::probabilities}}, {"weight", {{x[1]}, Fill::positive}}},
          {{"reduction", reduction}, {"label_smoothing", 0.2}});
    }
  const std::vector<json> reductions{{{"reduction", "mean"}}, {{"reduction", "sum"}}, {{"reduction", "none"}}};
  for (const char* op : {"mse_loss", "l1_loss"}) binary(t, op, "input", "target", Fill::distinct, Fill::positive, reductions);
  binary(t, "huber_loss", "input", "target", Fill::distinct, Fill::positive, {{{"reduction", "mean"}, {"delta", 0.75}},
      {{"reduction", "sum"}}, {{"reduction", "none"}, {"delta", 2.0}}});
}

}  // namespace mica::test
