// What a classifier gets right and wrong, over many batches:
//   Metrics metrics(10, device);
//   for (Batch batch; loader.next(batch);) {
//     const Tensor y = network(batch.images);
//     metrics.add(y, batch.labels, cross_entropy(y, batch.labels));
//   }
//   const Metrics::Values values = metrics.read();
// Everything is counted where the network is, and nothing waits for a device until read().
#pragma once

#include <mica/core/tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace mica {

class Metrics {
 public:
  // top_k: how many answers a row has for Values::top_k_accuracy; at most `classes`. Throws Error.
  Metrics(std::int64_t classes, Device device, std::int64_t top_k = 3);

  // scores (n, classes), logits or probabilities of any kind; target i64 (n); loss: a scalar, the batch's mean. A target that is no class
  // counts in no other figure than the loss.
  void add(const Tensor& scores, const Tensor& target, const Tensor& loss);
  void reset();

  struct Values {
    std::int64_t count = 0;            // of rows
    double loss = 0;                   // mean over rows
    double accuracy = 0, top_k_accuracy = 0;  // of rows, in [0, 1]
    std::int64_t classes = 0, top_k = 0;
    std::vector<std::int64_t> confusion;  // (classes, classes): how many of class [row] were taken for [column]

    // Of one class; NaN where nothing was answered so, or nothing is of that class. f1 is 2·precision·recall / (precision + recall).
    double precision(std::int64_t c) const;
    double recall(std::int64_t c) const;
    double f1(std::int64_t c) const;
    // A line a class with its row of the confusion matrix, recall, precision and F1 in %.
    std::string table() const;
  };
  Values read() const;  // waits for the device

 private:
  std::int64_t classes_, top_k_, count_ = 0;
  Device device_;
  Tensor confusion_, in_top_k_, loss_sum_;
};

}  // namespace mica
