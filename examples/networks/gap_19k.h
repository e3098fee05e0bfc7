// gap-19k: "Walkthrough of MNIST digit Classifier". Blocks of 3×3 convolutions without padding, global average pooling
// and a small linear layer; 19,866 parameters.
// Norms are numbered as they come, like convolutions: the 1×1 conv5 has none, so conv6 is followed by norm5.
#pragma once

#include "network.h"

#include <mica/layers/layers.h>
#include <mica/optim/sgd.h>

namespace mica::networks {

inline Sequential build_gap_19k() {
  Sequential net;  // input                                                                1×28×28
  int norms = 0;
  const auto block = [&](int number, std::int64_t in, std::int64_t out, double q) {
    const std::string conv = std::to_string(number), norm = std::to_string(++norms);
    net.add("conv" + conv, Conv2d(in, out, 3));
    net.add("norm" + norm, BatchNorm2d(out));
    net.add("relu" + norm, ReLU());
    net.add("dropout" + norm, Dropout(q));
  };
  block(1, 1, 16, 0);                    // 16×26×26
  block(2, 16, 16, 0);                   // 16×24×24
  block(3, 16, 16, 0);                   // 16×22×22
  block(4, 16, 32, 0);                   // 32×20×20
  net.add("conv5", Conv2d(32, 16, 1));   // 16×20×20
  net.add("pool", MaxPool2d(2));         // 16×10×10
  block(6, 16, 16, 0);                   // 16×8×8
  block(7, 16, 16, 0.1);                 // 16×6×6
  block(8, 16, 32, 0.1);                 // 32×4×4
  net.add("gap", GlobalAvgPool());       // 32×1×1
  net.add("flatten", Flatten());         // 32
  net.add("fc", Linear(32, 10));         // 10
  net.add("log_softmax", LogSoftmax());  // 10
  return net;
}

// The document's recipe. It rotates with torchvision's default, nearest-neighbour sampling.
inline Network gap_19k() {
  Recipe recipe;
  recipe.epochs = 19;
  recipe.batch_size = 512;
  recipe.lr = 0.05;
  recipe.augmentation = {.crop_probability = 0.1, .crop = 22, .rotation = 15};
  recipe.optimizer = [](const std::vector<Tensor>& parameters, double lr) {
    return std::make_unique<Sgd>(parameters, SgdOptions{.lr = lr, .momentum = 0.9});
  };
  recipe.schedule = [](Optimizer& optimizer) { return std::make_unique<StepLR>(optimizer, 10, 0.1); };
  return {"gap-19k", "3×3 blocks, global average pooling, 19,866 parameters", build_gap_19k, recipe};
}

}  // namespace mica::networks
