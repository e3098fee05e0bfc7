// bigkernel-10k: "S5", step 1. A 7×7 convolution makes the last image one pixel.
#pragma once

#include "builder.h"
#include "network.h"

namespace mica::networks {

inline Sequential build_bigkernel_10k() {
  Builder b;  // input                                    1×28×28
  b.conv(1, 10, 3).norm(10).relu();                    // 10×26×26
  b.conv(10, 10, 3).norm(10).relu();                   // 10×24×24
  b.conv(10, 20, 3).norm(20).relu();                   // 20×22×22
  b.pool();                                            // 20×11×11
  b.conv(20, 10, 1).norm(10).relu();                   // 10×11×11
  b.conv(10, 10, 3).norm(10).relu();                   // 10×9×9
  b.conv(10, 20, 3).norm(20).relu();                   // 20×7×7
  b.conv(20, 10, 1).norm(10).relu();                   // 10×7×7
  b.conv(10, 10, 7).flatten().log_softmax();           // 10
  return b.take();
}

inline Network bigkernel_10k() {
  return {.name = "bigkernel-10k",
          .build = build_bigkernel_10k,
          .recipe = {.epochs = 15, .batch_size = 128, .optimizer = "sgd lr=0.01 momentum=0.9", .schedule = "constant"},
          .document = 99.29,
          .target = 99.29};
}

}  // namespace mica::networks
