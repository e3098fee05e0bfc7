// The two logs of a run: one row an epoch, one row a step. A file is replaced whole after each epoch and at the end, so
// that it is never half-written.
#pragma once

#include <filesystem>
#include <string>

namespace mica::training {

struct EpochRow {
  int epoch;  // from 1
  double train_loss, train_accuracy, test_loss, test_accuracy, best_test_accuracy;  // accuracies in %
  double lr, seconds, images_per_second;                                            // of training
};

class Logs {
 public:
  // Empty paths write nothing. Throws FileError where one cannot be written; nothing is changed before the first flush().
  Logs(std::filesystem::path epochs, std::filesystem::path steps);

  void epoch(const EpochRow& row);
  void step(std::int64_t number, double loss, double lr);  // number from 1; loss before the update
  void flush();

 private:
  std::filesystem::path epochs_path_, steps_path_;
  std::string epochs_, steps_;
  bool has_epochs_ = false;  // a log without a row does not replace an older one
};

}  // namespace mica::training
