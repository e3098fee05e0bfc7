// Batches on CUDA: every bit is the CPU's, whatever happens to the images.
#include "../compare.h"
#include "../no_device.h"

#include <mica/core/context.h>
#include <mica/core/error.h>
#include <mica/core/random.h>
#include <mica/data/drawn_digits.h>
#include <mica/data/image_set.h>

#include <algorithm>

using namespace mica;
using namespace mica::test;

namespace {

ImageSet noise(std::int64_t n, std::int64_t h, std::int64_t w) {
  ImageSet set{Tensor::empty({n, h, w}, DType::u8), Tensor::empty({n}, DType::u8)};
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(set.images.numel()); ++i)
    set.images.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(kernels::random_bits(random_key("noise"), i));
  for (std::int64_t i = 0; i < n; ++i) set.labels.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(i % 10);
  return set;
}

// All batches of an epoch, on the CPU.
std::vector<Batch> epoch(const ImageSet& set, const BatchOptions& options, std::uint32_t number) {
  BatchLoader loader(set, options);
  loader.start(number);
  std::vector<Batch> batches;
  for (Batch batch; loader.next(batch);) {
    CHECK(batch.images.device() == set.images.device());
    batches.push_back({batch.images.to(Device::cpu()), batch.labels.to(Device::cpu())});
  }
  return batches;
}

// The same bits from the set on CUDA as from it on the CPU?
bool agree(const ImageSet& set, const BatchOptions& options) {
  const ImageSet there = set.to(Device::cuda());
  for (const std::uint32_t number : {1, 2}) {
    const std::vector<Batch> want = epoch(set, options, number), have = epoch(there, options, number);
    if (have.size() != want.size()) return false;
    for (std::size_t k = 0; k < want.size(); ++k)
      if (!same_bits(have[k].images, want[k].images) || !same_bits(have[k].labels, want[k].labels)) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("batches on CUDA have the CPU's bits: every augmentation, f32 and f64", "[cuda]") {
  if (no_device()) return;
  const ImageSet set = draw_digits(83, "train");
  for (const DType dtype : {DType::f32, DType::f64})
    for (const double crop_probability : {0.0, 0.5, 1.0})
      for (const double rotation : {0.0, 15.0, 360.0})
        for (const auto sampling : {kernels::Sampling::nearest, kernels::Sampling::bilinear}) {
          INFO(name_of(dtype) << ", crop " << crop_probability << ", rotation " << rotation << ", sampling " << static_cast<int>(sampling));
          const Augmentation augmentation{crop_probability, 22, rotation, sampling};
          CHECK(agree(set, {.batch_size = 32, .augmentation = augmentation, .dtype = dtype}));
        }
}

TEST_CASE("batches on CUDA have the CPU's bits: images of any size", "[cuda]") {
  if (no_device()) return;
  for (const auto& [h, w] : {std::pair{1, 1}, {1, 9}, {5, 7}, {31, 33}, {40, 41}})
    for (const std::int64_t crop : {1, 4, 27}) {
      INFO(h << "×" << w << ", crop " << crop);
      const Augmentation augmentation{0.7, std::min<std::int64_t>(crop, std::min(h, w)), 40, kernels::Sampling::bilinear};
      CHECK(agree(noise(13, h, w), {.batch_size = 5, .augmentation = augmentation}));
      CHECK(agree(noise(13, h, w), {.batch_size = 100, .shuffle = false}));
    }
}

TEST_CASE("an image set on CUDA is checked as one on the CPU is", "[cuda]") {
  if (no_device()) return;
  const ImageSet set = noise(20, 3, 3), there = set.to(Device::cuda());
  CHECK(there.images.device() == Device::cuda());
  CHECK(there.to(Device::cuda()).images.raw_data() == there.images.raw_data());
  CHECK(error_text<Error>([&] { check(there, 9, "digits"); }) == "digits: label 9 is 9, expected a class from 0 to 8");
  check(there, 10, "digits");
  CHECK(error_text<DeviceError>([&] { BatchLoader({there.images, set.labels}, {}); }) ==
        "BatchLoader: tensors are on cuda:0 and cpu, expected one device; move one with to()");
}
