// Ten training steps of gap-19k on batches made by a formula, for tests that compare them with other steps.
#pragma once

#include "../examples/networks/network.h"
#include "compare.h"

#include <mica/core/ops/loss.h>
#include <mica/layers/dropout.h>

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

struct TenSteps {
  std::vector<double> losses;
  Sequential network;
};

inline TenSteps ten_steps(DType dtype, const StateDict* start, double dropout, Device device = {}, std::int64_t images_a_step = 16) {
  const networks::Network& entry = networks::find("gap-19k");
  TenSteps t{{}, entry.build()};
  t.network.to(dtype);
  if (start) t.network.load_state_dict(*start);
  for (Module* module : t.network.modules())
    if (auto* layer = dynamic_cast<Dropout*>(module)) layer->set_p(dropout);
  t.network.to(device);
  const auto optimizer = entry.recipe.optimizer(t.network.parameters(), entry.recipe.lr);
  for (int step = 0; step < 10; ++step) {
    const auto [images, labels] = batch(step, images_a_step);
    optimizer->zero_grad();
    const Tensor loss = nll_loss(t.network(images.to(dtype).to(device)), labels.to(device));
    loss.backward();
    optimizer->step();
    t.losses.push_back(values(loss)[0]);
  }
  t.network.to(Device::cpu());
  return t;
}

}  // namespace mica::test
