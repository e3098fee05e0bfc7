// A labelled image set, whole in memory, and the batches that are drawn from it.
#pragma once

#include <mica/core/tensor.h>
#include <mica/data/augmentation.h>

#include <algorithm>
#include <string>

namespace mica {

struct ImageSet {
  Tensor images;  // u8 (N, H, W)
  Tensor labels;  // u8 (N)

  std::int64_t size() const { return images.size(0); }
  ImageSet to(Device device) const { return {images.to(device), labels.to(device)}; }  // itself where it is there already
};

// Throws Error unless images are u8 (N, H, W) with N > 0 and labels u8 (N) below `classes`, on one device; name tells which
// set. Labels on a device are copied to the host for that, but not where all that u8 holds is below `classes`.
void check(const ImageSet& set, std::int64_t classes, const std::string& name);

struct BatchOptions {
  std::int64_t batch_size = 128;
  bool shuffle = true;
  Augmentation augmentation = {};      // of pixels x/255
  double mean = 0.1307, std = 0.3081;  // of the Normalize that comes last, where augmentation has none; these are MNIST's
  DType dtype = DType::f32;
};

struct Batch {
  Tensor images;  // (n, 1, H, W)
  Tensor labels;  // i64 (n)
};

// Goes through the set once an epoch, the last and shorter batch included. Order and augmentation are functions of the
// seed and the epoch alone, and an image's augmentation does not depend on the batch that it is in. Batches are made where the
// set is, the same bits on every device, and nothing waits for the device.
class BatchLoader {
 public:
  BatchLoader(const ImageSet& set, const BatchOptions& options);  // the set's tensors are shared; throws Error

  std::int64_t batches() const;        // in an epoch
  void start(std::uint32_t epoch);
  bool next(Batch& batch);             // false after the last
  // As next(), into the batch's own tensors, which a captured graph reads; false, and nothing done, after the last batch and where
  // the next one has other shapes or another dtype or device.
  bool refill(Batch& batch);
  std::int64_t whole_batches_left() const { return std::max<std::int64_t>(set_.size() - at_, 0) / options_.batch_size; }

 private:
  std::int64_t next_size() const;
  Shape image_shape() const;  // of the next batch
  void gather(Batch& batch);

  ImageSet set_;
  BatchOptions options_;
  kernels::Chain chain_;
  Tensor blurs_;  // f32, where the set is: what chain_ points to
  std::uint32_t epoch_ = 0;
  std::int64_t at_ = 0;
  Tensor order_;  // i64 (N), where the set is
};

}  // namespace mica
