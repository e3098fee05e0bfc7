// plain-6k: "MNIST Classification Model Evolution", V1. Convolutions only, without an activation (its summary shows none), which is why it
// stops near 95.7 %.
#pragma once

#include "builder.h"
#include "network.h"

namespace mica::networks {

inline Sequential build_plain_6k() {
  Builder b;  // input                                    1×28×28
  const auto conv = [&](std::int64_t in, std::int64_t out) { b.conv(in, out, 3, {.padding = 1, .bias = false}); };
  conv(1, 8);                                          //  8×28×28
  conv(8, 10);                                         // 10×28×28
  conv(10, 16);                                        // 16×28×28
  b.conv(16, 8, 1).pool();                             //  8×14×14
  conv(8, 8);                                          //  8×14×14
  conv(8, 10);                                         // 10×14×14
  conv(10, 16);                                        // 16×14×14
  b.conv(16, 8, 1).pool();                             //  8×7×7
  conv(8, 16);                                         // 16×7×7
  b.gap().conv(16, 10, 1).flatten();                   // 10
  return b.take();
}

// The document rotates, moves and deforms images, and gives no strengths.
inline Network plain_6k() {
  return {.name = "plain-6k",
          .build = build_plain_6k,
          .recipe = {.epochs = 15, .batch_size = 128, .optimizer = "adam lr=0.001", .schedule = "constant",
                     .augmentation = {RandomApply{{RandomAffine{.degrees = 7, .translate = {0.1, 0.1}}, ElasticTransform{.alpha = 20, .sigma = 5}}, 0.5}}},
          .document = 95.68,
          .target = 95.68};
}

}  // namespace mica::networks
