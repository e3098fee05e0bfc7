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

using namespace transforms;

const RandomApply affine{{CenterCropResize{4}, RandomAffine{20, {0.1, 0.3}, {0.8, 1.2}, 10, {-5, 8}, Interpolation::bilinear, 0.4}}, 0.7};

TEST_CASE("batches on CUDA have the CPU's bits: every transform, f32 and f64", "[cuda]") {
  if (no_device()) return;
  const ImageSet set = draw_digits(13, "train");
  const std::vector<Augmentation> each{
      {}, {CenterCropResize{22}}, {RandomRotation{15}}, {RandomRotation{360, Interpolation::bilinear}}, {affine}, {ElasticTransform{50, 3, Interpolation::bilinear, 0.3}},
      {ElasticTransform{80, 0, Interpolation::nearest}}, {RandomCrop{4, 0.2}}, {RandomErasing{.p = 1, .value = 0.5}}, {ColorJitter{0.5, 0}}, {ColorJitter{0.2, 0.9}},
      {RandomHorizontalFlip{0.5}}, {Normalize{0.2, 0.4}, RandomAffine{.shear_x = 10}},
      {RandomAffine{360, {1, 1}, {0.001, 1000}, 89, 89, Interpolation::bilinear, 0.3}, ElasticTransform{1e9, 0.7}}};  // far outside
  for (const DType dtype : {DType::f32, DType::f64})
    for (const Augmentation& augmentation : each) {
      INFO(name_of(dtype) << ", " << to_string(augmentation));
      CHECK(agree(set, {.batch_size = 5, .augmentation = augmentation, .dtype = dtype}));
    }
}

// 31×40 is the largest here that a block keeps in shared memory with an elastic transform, 60×57 without; beyond, a block takes several images.
TEST_CASE("batches on CUDA have the CPU's bits: images of any size, a chain of all transforms", "[cuda]") {
  if (no_device()) return;
  for (const auto& [h, w] : {std::pair{1, 1}, {1, 9}, {5, 7}, {31, 40}, {60, 57}, {80, 90}}) {
    INFO(h << "×" << w);
    const bool small = std::min(h, w) < 5;
    const Augmentation all{small ? RandomApply{{RandomRotation{40}}, 0.5} : affine, ElasticTransform{20, small ? 0.0 : 1.0}, RandomCrop{2}, RandomErasing{},
                           ColorJitter{0.3, 0.3}, RandomHorizontalFlip{}, Normalize{0.1, 0.2}, ElasticTransform{9, small ? 0.0 : 0.3, Interpolation::nearest, 0.25}};
    CHECK(agree(noise(19, h, w), {.batch_size = 17, .augmentation = all}));
    CHECK(agree(noise(19, h, w), {.batch_size = 100, .augmentation = {RandomRotation{40, Interpolation::bilinear}}}));
    CHECK(agree(noise(19, h, w), {.batch_size = 100, .shuffle = false}));
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
