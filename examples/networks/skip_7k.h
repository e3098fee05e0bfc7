// skip-7k: "MNIST Classification Model Evolution", V3. The document says "skip connections" and not where: the two convolutions that keep
// their shape are the only places that need no parameters.
#pragma once

#include "builder.h"
#include "network.h"

namespace mica::networks {

inline Sequential build_skip_7k() {
  constexpr double q = 0.05;
  constexpr auto same_size = [] { return Conv2d::Options{.padding = 1, .bias = false}; };
  const auto block = [=](Builder& b, std::int64_t in, std::int64_t out) { b.conv(in, out, 3, same_size()).norm(out).relu(); };
  Builder b;  // input                                    1×28×28
  block(b, 1, 8);                                      //  8×28×28
  block(b, 8, 10);                                     // 10×28×28
  block(b, 10, 16);                                    // 16×28×28
  b.dropout(q).pool().conv(16, 8, 1);                  //  8×14×14
  block(b, 8, 10);                                     // 10×14×14
  b.skip([&](Builder& body) { block(body, 10, 10); });
  block(b, 10, 12);                                    // 12×14×14
  b.dropout(q).pool().conv(12, 8, 1);                  //  8×7×7
  b.skip([&](Builder& body) { block(body, 8, 8); });
  block(b, 8, 10);                                     // 10×7×7
  b.conv(10, 12, 3, same_size()).conv(12, 10, 1);      // 10×7×7
  b.gap().flatten();                                   // 10
  return b.take();
}

// The document rotates, moves and deforms images, and gives no strengths.
inline Network skip_7k() {
  return {.name = "skip-7k",
          .build = build_skip_7k,
          .recipe = {.epochs = 15, .batch_size = 128, .optimizer = "adam lr=0.01", .schedule = "plateau factor=0.1 patience=2",
                     .augmentation = {RandomApply{{RandomAffine{.degrees = 7, .translate = {0.1, 0.1}}, ElasticTransform{.alpha = 20, .sigma = 5}}, 0.5}}},
          .document = 99.37,
          .target = 99.37};
}

}  // namespace mica::networks
