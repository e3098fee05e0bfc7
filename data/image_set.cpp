#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/random.h>
#include <mica/core/scope.h>
#include <mica/data/image_set.h>
#include <mica/kernels/batch.h>

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

namespace mica {

void check(const ImageSet& set, std::int64_t classes, const std::string& name) {
  const Tensor &images = set.images, &labels = set.labels;
  if (images.dtype() != DType::u8 || images.rank() != 3 || images.numel() == 0)
    throw ShapeError(fmt::format("{}: expected images of u8 (N, H, W), at least one, got {} {}", name, name_of(images.dtype()),
                                 to_string(images.shape())));
  if (labels.dtype() != DType::u8 || labels.shape() != Shape{images.size(0)})
    throw ShapeError(fmt::format("{}: expected u8 labels of shape {}, one for each image, got {} {}", name, images.size(0),
                                 name_of(labels.dtype()), to_string(labels.shape())));
  require_same_device(name.c_str(), images, labels);
  if (classes > std::numeric_limits<std::uint8_t>::max()) return;
  const Tensor here = labels.to(Device::cpu());
  const std::uint8_t* first = here.data<std::uint8_t>();
  const std::uint8_t* bad = std::find_if(first, first + here.numel(), [=](std::uint8_t label) { return label >= classes; });
  if (bad != first + here.numel())
    throw Error(fmt::format("{}: label {} is {}, expected a class from 0 to {}", name, bad - first, *bad, classes - 1));
}

BatchLoader::BatchLoader(const ImageSet& set, const BatchOptions& options) : set_(set), options_(options) {
  check(set, 256, "BatchLoader");
  if (options.batch_size < 1) throw Error(fmt::format("BatchLoader: expected a batch size of 1 or more, got {}", options.batch_size));
  const CompiledAugmentation compiled =
      compile(options.augmentation, set.images.size(1), set.images.size(2), {options.mean, options.std}, "BatchLoader");
  chain_ = compiled.chain;
  if (compiled.chain.has_elastic()) {
    blurs_ = Tensor::from(compiled.blurs, {static_cast<std::int64_t>(compiled.blurs.size())}).to(set.images.device());
    chain_.blurs = blurs_.data<float>();
  }
  start(0);
}

std::int64_t BatchLoader::batches() const { return (set_.size() + options_.batch_size - 1) / options_.batch_size; }

void BatchLoader::start(std::uint32_t epoch) {
  epoch_ = epoch;
  at_ = 0;
  if (!options_.shuffle && order_.defined()) return;
  std::vector<std::int64_t> order(static_cast<std::size_t>(set_.size()));
  if (options_.shuffle) order = random_permutation(set_.size(), random_key("shuffle", epoch));
  else std::iota(order.begin(), order.end(), 0);
  order_ = Tensor::from(order, {set_.size()}).to(set_.images.device());
}

std::int64_t BatchLoader::next_size() const { return std::min(options_.batch_size, set_.size() - at_); }

Shape BatchLoader::image_shape() const { return {next_size(), 1, set_.images.size(1), set_.images.size(2)}; }

bool BatchLoader::next(Batch& batch) {
  if (at_ >= set_.size()) return false;
  batch.images = Tensor::empty(image_shape(), options_.dtype, set_.images.device());
  batch.labels = Tensor::empty({next_size()}, DType::i64, set_.images.device());
  gather(batch);
  return true;
}

bool BatchLoader::refill(Batch& batch) {
  const auto fits = [&](const Tensor& tensor, const Shape& shape, DType dtype) {
    return tensor.defined() && tensor.shape() == shape && tensor.dtype() == dtype && tensor.device() == set_.images.device();
  };
  if (at_ >= set_.size() || !fits(batch.images, image_shape(), options_.dtype) || !fits(batch.labels, {next_size()}, DType::i64)) return false;
  gather(batch);
  batch.images.bump_version();
  batch.labels.bump_version();
  return true;
}

void BatchLoader::gather(Batch& batch) {
  static const Scope::Name name = std::make_shared<const std::string>("BatchLoader");
  const Scope scope(name, Pass::data);
  const kernels::BatchDims d{next_size(), set_.images.size(1), set_.images.size(2)};
  dispatch_floating(batch.images, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::gather_batch<T>(context, d, set_.images.data<std::uint8_t>(), set_.labels.data<std::uint8_t>(), order_.data<std::int64_t>() + at_,
                             chain_, random_key("augment", epoch_), batch.images.data<T>(), batch.labels.data<std::int64_t>());
  });
  at_ += d.n;
}

}  // namespace mica
