// rotate-7k: "S5", step 4. Rotated images, a rate that falls every second epoch, and other widths.
#pragma once

#include "builder.h"
#include "network.h"

namespace mica::networks {

inline Sequential build_rotate_7k() {
  Builder b;  // input                                    1×28×28
  const auto block = [&](std::int64_t in, std::int64_t out, std::int64_t kernel) { b.conv(in, out, kernel).norm(out).dropout(0.007).relu(); };
  block(1, 8, 3);                                      //  8×26×26
  block(8, 8, 3);                                      //  8×24×24
  block(8, 8, 3);                                      //  8×22×22
  b.pool();                                            //  8×11×11
  block(8, 13, 3);                                     // 13×9×9
  block(13, 14, 3);                                    // 14×7×7
  block(14, 8, 1);                                     //  8×7×7
  block(8, 26, 3);                                     // 26×5×5
  block(26, 50, 1);                                    // 50×5×5
  b.gap().conv(50, 10, 1).flatten().log_softmax();     // 10
  return b.take();
}

// The document gives no angle.
inline Network rotate_7k() {
  return {.name = "rotate-7k",
          .build = build_rotate_7k,
          .recipe = {.epochs = 15, .batch_size = 128, .optimizer = "sgd lr=0.1 momentum=0.9", .schedule = "step step_size=2 gamma=0.6",
                     .augmentation = {RandomRotation{7}}},
          .document = 99.46,
          .target = 99.46};
}

}  // namespace mica::networks
