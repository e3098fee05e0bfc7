// gap-8k: "S5", step 3. Global average pooling in place of the large kernel, more layers behind it, and next to no dropout.
#pragma once

#include "builder.h"
#include "network.h"

namespace mica::networks {

inline Sequential build_gap_8k() {
  constexpr double q = 0.007;
  Builder b;  // input                                    1×28×28
  b.conv(1, 8, 3).norm(8).relu();                      //  8×26×26
  b.conv(8, 8, 3).norm(8).relu();                      //  8×24×24
  b.conv(8, 8, 3).norm(8).dropout(q).relu();           //  8×22×22
  b.pool();                                            //  8×11×11
  b.conv(8, 16, 3).norm(16).dropout(q).relu();         // 16×9×9
  b.conv(16, 16, 3).norm(16).dropout(q).relu();        // 16×7×7
  b.conv(16, 8, 1).norm(8).dropout(q).relu();          //  8×7×7
  b.conv(8, 32, 3).norm(32).dropout(q).relu();         // 32×5×5
  b.conv(32, 16, 1).norm(16).dropout(q).relu();        // 16×5×5
  b.gap().conv(16, 10, 1).flatten().log_softmax();     // 10
  return b.take();
}

inline Network gap_8k() {
  return {.name = "gap-8k",
          .build = build_gap_8k,
          .recipe = {.epochs = 15, .batch_size = 128, .optimizer = "sgd lr=0.01 momentum=0.9", .schedule = "constant"},
          .document = 99.37,
          .target = 99.37};
}

}  // namespace mica::networks
