// Training steps of a network on batches, and from weights, made by formulas, for tests that compare them with other steps, or with the same
// done in another way.
#pragma once

#include "../examples/networks/network.h"
#include "../examples/training/choices.h"
#include "compare.h"

#include <mica/core/cuda_graph.h>
#include <mica/core/ops/loss.h>
#include <mica/layers/dropout.h>
#include <mica/optim/clip.h>

#include <cmath>
#include <optional>
#include <string>
#include <utility>

namespace mica::test {

// The same as batch() in tests/pytorch/make_vectors.py.
inline std::pair<Tensor, Tensor> batch(std::int64_t step, std::int64_t size) {
  std::vector<double> pixels;
  std::vector<std::int64_t> labels;
  for (std::int64_t n = step * size; n < (step + 1) * size; ++n) {
    labels.push_back(n % 10);
    for (std::int64_t h = 0; h < 28; ++h)
      for (std::int64_t w = 0; w < 28; ++w) {
        const std::int64_t v = (n * 7919 + h * h * (n % 10 + 1) * 31 + w * w * (n % 7 + 1) * 17 + h * w * 13) % 256;
        pixels.push_back((static_cast<double>(v) / 255 - 0.1307) / 0.3081);
      }
  }
  return {Tensor::from<double>(pixels, {size, 1, 28, 28}), Tensor::from<std::int64_t>(labels, {size})};
}

// The same as start() in tests/pytorch/networks.py.
inline void set_by_formula(Sequential& network) {
  for (auto& [key, tensor] : network.state_dict()) {
    const std::string last = key.substr(key.rfind('.') + 1);
    if (!is_floating(tensor.dtype()) || last.starts_with("running")) continue;
    std::int64_t salt = 0;
    for (std::size_t i = 0; i < key.size(); ++i) salt += static_cast<std::int64_t>(i + 1) * key[i];
    const double bound = tensor.rank() > 1 ? std::sqrt(3 / (static_cast<double>(tensor.numel()) / static_cast<double>(tensor.size(0)))) : last == "weight" ? 0.2 : 0.1;
    std::vector<double> values;
    for (std::int64_t i = 0; i < tensor.numel(); ++i) {
      const double u = static_cast<double>((i * 7919 + salt * 104729) % 20011) / 20011 * 2 - 1;
      values.push_back(u * bound + (tensor.rank() == 1 && last == "weight" ? 1 : 0));
    }
    tensor.detach().copy_(Tensor::from<double>(values, tensor.shape()).to(tensor.dtype()));
  }
}

struct StepsTaken {
  std::vector<double> losses;
  Sequential network;
};

struct Way {  // in which the steps are done
  std::string network = "gap-19k";
  bool by_formula = false;  // the weights at the start; else they are drawn
  DType dtype = DType::f64;
  double dropout = 0;
  Device device = {};
  std::int64_t images_a_step = 16;
  int steps = 10;
  bool graph = false;  // the first step is captured, and replayed for the others
};

inline StepsTaken take_steps(const Way& way) {
  const networks::Network& entry = networks::find(way.network);
  StepsTaken t{{}, entry.build()};
  t.network.to(way.dtype);
  if (way.by_formula) set_by_formula(t.network);
  for (Module* module : t.network.modules())
    if (auto* layer = dynamic_cast<Dropout*>(module)) layer->set_p(way.dropout);
  t.network.to(way.device);
  const auto optimizer = training::make_optimizer(entry.recipe.optimizer, t.network.parameters());
  Tensor images = Tensor::empty({way.images_a_step, 1, 28, 28}, way.dtype, way.device);
  Tensor labels = Tensor::empty({way.images_a_step}, DType::i64, way.device);
  std::vector<Tensor> losses;
  const auto step = [&](int) {
    optimizer->zero_grad();
    const Tensor loss = cross_entropy(t.network(images), labels);
    loss.backward();
    if (entry.recipe.clip_norm > 0) clip_grad_norm_(t.network.parameters(), entry.recipe.clip_norm);
    optimizer->step();
    losses.push_back(loss.detach());
  };
  std::optional<CudaGraph> graph;
  for (int k = 0; k < way.steps; ++k) {
    const auto [next_images, next_labels] = batch(k, way.images_a_step);
    images.copy_(next_images.to(way.dtype));
    labels.copy_(next_labels);
    if (!way.graph) step(0);
    else if (k == 0) graph.emplace(way.device).capture(step);
    else graph->replay();
    t.losses.push_back(values(k == 0 ? losses.front() : losses.back())[0]);
  }
  t.network.to(Device::cpu());
  return t;
}

}  // namespace mica::test
