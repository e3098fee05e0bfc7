// gap-19k: "Walkthrough of MNIST digit Classifier". Blocks of 3×3 convolutions without padding, global average pooling and a small linear
// layer. Norms are numbered as they come, like convolutions: the 1×1 conv5 has none, so conv6 is followed by norm5.
#pragma once

#include "builder.h"
#include "network.h"

namespace mica::networks {

inline Sequential build_gap_19k() {
  Builder b;  // input                                    1×28×28
  const auto block = [&](std::int64_t in, std::int64_t out, double q) { b.conv(in, out, 3, {}).norm(out).relu().dropout(q); };
  block(1, 16, 0);                                     // 16×26×26
  block(16, 16, 0);                                    // 16×24×24
  block(16, 16, 0);                                    // 16×22×22
  block(16, 32, 0);                                    // 32×20×20
  b.conv(32, 16, 1, {}).pool();                        // 16×10×10
  block(16, 16, 0);                                    // 16×8×8
  block(16, 16, 0.1);                                  // 16×6×6
  block(16, 32, 0.1);                                  // 32×4×4
  b.gap().flatten().linear(32, 10).log_softmax();      // 10
  return b.take();
}

// The document's recipe. It rotates with torchvision's default, nearest-neighbour sampling.
inline Network gap_19k() {
  return {.name = "gap-19k",
          .build = build_gap_19k,
          .recipe = {.epochs = 19, .batch_size = 512, .optimizer = "sgd lr=0.05 momentum=0.9", .schedule = "step step_size=10 gamma=0.1",
                     .augmentation = {RandomApply{{CenterCropResize{22}}, 0.1}, RandomRotation{15}}},
          .document = 99.51,
          .target = 99.50};
}

}  // namespace mica::networks
