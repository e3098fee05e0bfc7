// Trains a network by a recipe and evaluates it: the loop that every example shares.
#pragma once

#include "logs.h"
#include "progress.h"

#include "../networks/network.h"

#include <mica/core/metrics.h>
#include <mica/data/image_set.h>
#include <mica/layers/profile.h>

#include <atomic>
#include <functional>
#include <optional>

namespace mica::training {

struct Score {
  double loss = 0;      // mean over images
  double accuracy = 0;  // %
};

struct Settings {  // beside the recipe
  std::optional<double> lr = {};  // in place of the recipe's
  bool shuffle = true;
  DType dtype = DType::f32;
  std::optional<std::int64_t> max_steps;  // then stop, without evaluation
  int steps_per_graph = 0;                // 0: steps are not captured; else CUDA only
  bool memory = false;                    // report what the first step keeps in memory, by layer
  std::function<void(int epoch, std::int64_t steps)> after_epoch = {};  // steps of this run so far; its log is written
  Profile* profile = nullptr;  // of the network on whole batches: measures the steps on these, after the first ones
  std::int64_t warm_up = 0;    // so many
};

enum class Outcome { finished, stopped_at_max_steps, interrupted };

struct Result {
  Outcome outcome = Outcome::finished;
  std::int64_t steps = 0;
  int epochs = 0;          // whole ones
  int best_epoch = 0;      // from 1; 0 where none was evaluated
  double best_accuracy = 0, last_accuracy = 0;  // %
};

// The network and the sets are on one device. `interrupted` is asked after every batch. The host reads from the device only at
// the end of an epoch and, without graphs, where progress is due; until then it may be several batches ahead.
Result train(Sequential& network, const networks::Recipe& recipe, const Settings& settings, const ImageSet& train_set,
             const ImageSet& test_set, Progress& progress, Logs& logs, const std::atomic<bool>& interrupted);

// In evaluation mode, without augmentation. Stops early, with what it has, when interrupted. metrics: which also hears of every batch.
Score evaluate(Sequential& network, const ImageSet& set, DType dtype, const std::atomic<bool>& interrupted, Metrics* metrics = nullptr);

}  // namespace mica::training
