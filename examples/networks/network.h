// What an example network is: a name, its layers, and the recipe that trains it.
#pragma once

#include <mica/data/image_set.h>
#include <mica/layers/sequential.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace mica::networks {

using namespace transforms;  // for recipes

// Trains by cross-entropy, of logits or of log-probabilities alike: their log-softmax is themselves.
struct Recipe {
  std::int64_t epochs, batch_size;
  std::string optimizer, schedule;  // as --optimizer and --scheduler take them (training/choices.h)
  double clip_norm = 0;             // of all gradients together; 0: they are not clipped
  Augmentation augmentation = {};   // of training images
};

struct Network {
  std::string name;
  std::function<Sequential()> build;  // (N, 1, 28, 28) → logits or log-probabilities (N, 10); draws its weights
  Recipe recipe;
  double document;                                // the best test accuracy in its document, in %
  double target;                                  // ours, within the recipe's epochs: the median of five seeds
};

// Every network, in the order in which --list prints them.
const std::vector<Network>& all();

// Throws Error that names the nearest where there is none of this name.
const Network& find(std::string_view name);

}  // namespace mica::networks
