// norm-6k: "MNIST Classification Model Evolution", V2. V1 with batch norm and ReLU; its dropout layers drop nothing yet.
#pragma once

#include "builder.h"
#include "network.h"

namespace mica::networks {

inline Sequential build_norm_6k() {
  Builder b;  // input                                    1×28×28
  const auto block = [&](std::int64_t in, std::int64_t out) { b.conv(in, out, 3, {.padding = 1, .bias = false}).norm(out).relu().dropout(0); };
  block(1, 8);                                         //  8×28×28
  block(8, 10);                                        // 10×28×28
  block(10, 16);                                       // 16×28×28
  b.pool().conv(16, 8, 1).norm(8).relu();              //  8×14×14
  block(8, 8);                                         //  8×14×14
  block(8, 10);                                        // 10×14×14
  block(10, 16);                                       // 16×14×14
  b.pool().conv(16, 8, 1).norm(8).relu();              //  8×7×7
  b.conv(8, 16, 3, {.padding = 1, .bias = false});     // 16×7×7
  b.gap().conv(16, 10, 1).flatten();                   // 10
  return b.take();
}

// The document rotates, moves and deforms images, and gives no strengths.
inline Network norm_6k() {
  return {.name = "norm-6k",
          .build = build_norm_6k,
          .recipe = {.epochs = 15, .batch_size = 128, .optimizer = "adam lr=0.01", .schedule = "plateau factor=0.1 patience=2",
                     .augmentation = {RandomApply{{RandomAffine{.degrees = 7, .translate = {0.1, 0.1}}, ElasticTransform{.alpha = 20, .sigma = 5}}, 0.5}}},
          .document = 98.92,
          .target = 98.92};
}

}  // namespace mica::networks
