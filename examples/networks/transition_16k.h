// transition-16k: "MNIST Digit Classification with PyTorch". Blocks of convolution, batch norm, ReLU and dropout, and a transition to fewer
// channels after pooling.
#pragma once

#include "builder.h"
#include "network.h"

namespace mica::networks {

inline Sequential build_transition_16k() {
  Builder b;  // input                                    1×28×28
  const auto block = [&](std::int64_t in, std::int64_t out) { b.conv(in, out, 3, {}).norm(out).relu().dropout(0.05); };
  block(1, 16);                                        // 16×26×26
  block(16, 16);                                       // 16×24×24
  block(16, 32);                                       // 32×22×22
  b.pool().conv(32, 8, 1, {}).relu();                  //  8×11×11
  block(8, 16);                                        // 16×9×9
  block(16, 16);                                       // 16×7×7
  b.conv(16, 32, 3, {}).relu();                        // 32×5×5
  b.gap().flatten().linear(32, 10).log_softmax();      // 10
  Sequential net = b.take();
  for (Module* module : net.modules()) {
    if (auto* conv = dynamic_cast<Conv2d*>(module)) {
      kaiming_normal_(conv->weight, {.mode = FanMode::fan_out, .nonlinearity = Nonlinearity::relu});
      constant_(conv->bias, 0);
    } else if (auto* fc = dynamic_cast<Linear*>(module)) {
      normal_(fc->weight, 0, 0.01);
      constant_(fc->bias, 0);
    }
  }
  return net;
}

// The document shears after normalising: what comes in from outside is 0 there, a grey, and not black.
inline Network transition_16k() {
  return {.name = "transition-16k",
          .build = build_transition_16k,
          .recipe = {.epochs = 20, .batch_size = 128, .optimizer = "adam lr=0.001", .schedule = "plateau factor=0.1 patience=2", .clip_norm = 5,
                     .augmentation = {Normalize{0.1307, 0.3081}, RandomAffine{.shear_x = 10}}},
          .document = 99.41,
          .target = 99.41};
}

}  // namespace mica::networks
