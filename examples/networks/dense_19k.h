// dense-19k and dense-bn-19k: "Session 5", iterations 1 and 2 to 4. Padded convolutions, and a linear layer on all that is left of the
// image; then with batch norm, and dropout before the linear layer.
// The document counts 19,418 parameters in one place and 19,300 in another for the second, and seven norms over convolutions with biases
// make 19,434; without the last bias, which its norm takes away again, they are 19,418.
#pragma once

#include "builder.h"
#include "network.h"

namespace mica::networks {

inline Sequential build_dense_19k(bool norms) {
  Builder b;  // input                                    1×28×28
  const auto block = [&](std::int64_t in, std::int64_t out, std::int64_t kernel, const Conv2d::Options& options) {
    b.conv(in, out, kernel, options);
    if (norms) b.norm(out);
    b.relu();
  };
  block(1, 16, 3, {.padding = 1});                     // 16×28×28
  block(16, 16, 3, {.padding = 1});                    // 16×28×28
  block(16, 32, 3, {.padding = 1});                    // 32×28×28
  b.pool();                                            // 32×14×14
  block(32, 16, 1, {});                                // 16×14×14
  block(16, 32, 3, {.padding = 1});                    // 32×14×14
  b.pool();                                            // 32×7×7
  block(32, 16, 1, {});                                // 16×7×7
  block(16, 16, 3, {.bias = !norms});                  // 16×5×5
  b.flatten();                                         // 400
  if (norms) b.dropout(0.1);
  b.linear(400, 10).log_softmax();                     // 10
  return b.take();
}

inline Recipe dense_recipe(std::string schedule) {
  return {.epochs = 19, .batch_size = 128, .optimizer = "adam lr=0.001", .schedule = std::move(schedule),
          .augmentation = {RandomApply{{CenterCropResize{22}}, 0.1}, RandomRotation{10}}};
}

inline Network dense_19k() {
  return {.name = "dense-19k",
          .build = [] { return build_dense_19k(false); },
          .recipe = dense_recipe("constant"),
          .document = 99.16,
          .target = 99.16};
}

// Iteration 4; --scheduler constant makes it iteration 2, and --scheduler "step step_size=10 gamma=0.5" iteration 3.
inline Network dense_bn_19k() {
  return {.name = "dense-bn-19k",
          .build = [] { return build_dense_19k(true); },
          .recipe = dense_recipe("step step_size=5 gamma=0.5"),
          .document = 99.41,
          .target = 99.41};
}

}  // namespace mica::networks
