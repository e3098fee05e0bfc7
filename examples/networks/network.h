// What an example network is: a name, its layers, and the recipe that trains it.
#pragma once

#include <mica/data/image_set.h>
#include <mica/layers/sequential.h>
#include <mica/optim/schedule.h>

#include <functional>
#include <memory>
#include <string_view>

namespace mica::networks {

struct Recipe {
  std::int64_t epochs, batch_size;
  double lr;
  Augmentation augmentation;  // of training images
  std::function<std::unique_ptr<Optimizer>(const std::vector<Tensor>& parameters, double lr)> optimizer;
  std::function<std::unique_ptr<Schedule>(Optimizer&)> schedule;  // stepped after each epoch
};

struct Network {
  std::string name, description;
  std::function<Sequential()> build;  // (N, 1, 28, 28) → log-probabilities (N, 10); draws its weights
  Recipe recipe;
};

// Every network, in the order in which --list prints them.
const std::vector<Network>& all();

// Throws Error that names the nearest where there is none of this name.
const Network& find(std::string_view name);

}  // namespace mica::networks
