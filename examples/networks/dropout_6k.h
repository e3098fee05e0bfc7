// dropout-6k: "S5", step 2. Fewer channels, and dropout from the third convolution on, between batch norm and ReLU.
#pragma once

#include "builder.h"
#include "network.h"

namespace mica::networks {

inline Sequential build_dropout_6k() {
  constexpr double q = 0.1;  // the document's first value
  Builder b;  // input                                    1×28×28
  b.conv(1, 8, 3).norm(8).relu();                      //  8×26×26
  b.conv(8, 8, 3).norm(8).relu();                      //  8×24×24
  b.conv(8, 8, 3).norm(8).dropout(q).relu();           //  8×22×22
  b.pool();                                            //  8×11×11
  b.conv(8, 16, 3).norm(16).dropout(q).relu();         // 16×9×9
  b.conv(16, 8, 3).norm(8).dropout(q).relu();          //  8×7×7
  b.conv(8, 10, 3).norm(10).dropout(q).relu();         // 10×5×5
  b.conv(10, 10, 5).flatten().log_softmax();           // 10
  return b.take();
}

inline Network dropout_6k() {
  return {.name = "dropout-6k",
          .build = build_dropout_6k,
          .recipe = {.epochs = 15, .batch_size = 128, .optimizer = "sgd lr=0.01 momentum=0.9", .schedule = "constant"},
          .document = 99.28,
          .target = 99.28};
}

}  // namespace mica::networks
