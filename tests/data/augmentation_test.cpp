// Random transforms of a training set's images. That CUDA has the CPU's bits is in kernels/batch_cuda_test.cpp.
#include "../catch.h"
#include "../compare.h"
#include "../project_file.h"

#include <mica/core/context.h>
#include <mica/core/error.h>
#include <mica/core/random.h>
#include <mica/core/safetensors.h>
#include <mica/data/drawn_digits.h>
#include <mica/data/gaussian_blur.h>
#include <mica/data/image_set.h>
#include <mica/kernels/batch.h>
#include <mica/kernels/image_transform.h>
#include <mica/kernels/cpu/vector.h>

#include <nlohmann/json.hpp>

#include <cmath>
#include <map>

using namespace mica;
using namespace mica::test;
using namespace mica::transforms;
using kernels::Operation;
using Json = nlohmann::json;

namespace {

// The operation of a case of tests/pytorch/transforms.safetensors; blurs holds what an elastic one points to.
Operation operation_of(const Json& c, std::int64_t h, std::int64_t w, std::vector<float>& blurs) {
  const std::string kind = c.at("kind");
  const auto interpolation = c.value("interpolation", "nearest") == "nearest" ? Interpolation::nearest : Interpolation::bilinear;
  Operation o{Operation::Kind::none, interpolation, c.value("fill", 0.0F), {}};
  if (kind == "rotation") {
    o.kind = Operation::Kind::affine, o.affine = kernels::affine_map(h, w, -c.at("degrees").get<double>(), 0, 0, 1, 0, 0);
  } else if (kind == "affine") {
    o.kind = Operation::Kind::affine;
    o.affine = kernels::affine_map(h, w, c.at("degrees"), c.at("translate")[0], c.at("translate")[1], c.at("scale"), c.at("shear")[0], c.at("shear")[1]);
  } else if (kind == "crop") {
    o.kind = Operation::Kind::crop, o.crop = c.at("crop");
  } else if (kind == "shift") {
    o.kind = Operation::Kind::shift, o.shift = {c.at("down"), c.at("right")};
  } else if (kind == "erase") {
    const int top = c.at("top"), left = c.at("left");
    o.kind = Operation::Kind::erase, o.fill = c.at("value"), o.erase = {top, left, top + c.at("height").get<int>(), left + c.at("width").get<int>()};
  } else if (kind == "jitter") {
    const float brightness = c.at("brightness"), contrast = c.at("contrast");
    o.kind = Operation::Kind::jitter, o.jitter = {brightness != 1, contrast != 1, brightness, contrast};
  } else if (kind == "flip") {
    o.kind = Operation::Kind::flip;
  } else if (kind == "normalize") {
    o.kind = Operation::Kind::normalize, o.normalize = {c.at("mean"), c.at("std")};
  } else if (kind == "elastic") {
    const CompiledAugmentation compiled = compile({ElasticTransform{c.at("alpha"), c.at("sigma")}}, h, w, {0, 1}, "test");
    blurs = compiled.blurs;
    o.kind = Operation::Kind::elastic, o.elastic = {c.at("alpha").get<float>() / 2, blurs.data(), blurs.data() + h * h};
  }
  return o;
}

// f(what the chain's first link does to image `index`) for many images.
template <class F>
void each_drawn(const Transform& transform, const F& f, std::int64_t h = 28, std::int64_t w = 20) {
  const CompiledAugmentation compiled = compile({transform}, h, w, {0, 1}, "test");
  for (std::int64_t index = 0; index < 4000; ++index) f(kernels::draw(compiled.chain, 0, random_key("augment", 1), index, h, w));
}

// Collects numbers that should be uniform from low to high.
struct Spread {
  double low = 1e30, high = -1e30, sum = 0, count = 0;
  void add(double x) { low = std::min(low, x), high = std::max(high, x), sum += x, ++count; }
  bool fills(double from, double to) const {
    const double width = to - from;
    return low >= from - 1e-6 && low < from + 0.01 * width && high <= to + 1e-6 && high > to - 0.01 * width &&
           std::abs(sum / count - (from + to) / 2) < 0.03 * width;
  }
};

double degrees(double radians) { return radians * 180 / 3.14159265358979; }

// The images of an epoch by their place in the set.
std::vector<Tensor> images(const ImageSet& set, const BatchOptions& options, std::uint32_t epoch = 1) {
  BatchLoader loader(set, options);
  loader.start(epoch);
  std::vector<Tensor> result;
  for (Batch batch; loader.next(batch);)
    for (std::int64_t i = 0; i < batch.labels.numel(); ++i) result.push_back(batch.images[i]);
  return result;
}

bool same_bits(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](const Tensor& x, const Tensor& y) { return mica::test::same_bits(x, y); });
}

const Augmentation everything{RandomApply{{CenterCropResize{22}, RandomAffine{8, {0.1, 0.2}, {0.8, 1.2}, 10, 5, Interpolation::bilinear, 0.1}}, 0.6},
                              ElasticTransform{30, 2, Interpolation::bilinear, 0.2}, RandomRotation{15}, RandomCrop{3, 0.5}, RandomErasing{}, ColorJitter{0.3, 0.4},
                              RandomHorizontalFlip{}, ElasticTransform{30, 3, Interpolation::nearest}};

std::string refusal(const Augmentation& augmentation, std::int64_t h = 28, std::int64_t w = 28) {
  const ImageSet set{Tensor::full({1, h, w}, 0, DType::u8), Tensor::full({1}, 0, DType::u8)};
  return error_text<Error>([&] { BatchLoader(set, {.augmentation = augmentation}); });
}

}  // namespace

TEST_CASE("every transform with given parameters equals torchvision's") {
  const Safetensors file = load_safetensors(project_file("tests/pytorch/transforms.safetensors"));
  const std::map<std::string, Tensor> stored(file.tensors.begin(), file.tensors.end());
  std::map<std::string, int> checked;
  for (const auto& [key, text] : file.metadata) {
    INFO(key << ": " << text);
    const Json c = Json::parse(text);
    const Tensor image = stored.at(c.at("image")), want = stored.at(key);
    const std::int64_t h = image.size(0), w = image.size(1), pixels = h * w;
    std::vector<float> blurs, buffers(static_cast<std::size_t>(4 * pixels));
    const Operation operation = operation_of(c, h, w, blurs);
    for (std::int64_t i = 0; i < pixels; ++i) buffers[static_cast<std::size_t>(i)] = static_cast<float>(image.data<std::uint8_t>()[i]) / 255;
    if (operation.kind == Operation::Kind::elastic)
      std::copy_n(stored.at(key + ".noise").data<float>(), 2 * pixels, buffers.begin() + 2 * pixels);
    const float* got = kernels::transform_image(h, w, operation, buffers.data());
    double most = 0;  // a pixel that nearest sampling takes from elsewhere is far off
    for (std::int64_t i = 0; i < pixels; ++i) most = std::max(most, std::abs(static_cast<double>(got[i] - want.data<float>()[i])));
    CHECK(most < 1e-5);
    ++checked[c.at("kind")];
  }
  CHECK(checked == std::map<std::string, int>{{"affine", 48}, {"crop", 12}, {"elastic", 6}, {"erase", 4}, {"flip", 4}, {"jitter", 16}, {"normalize", 4},
                                              {"rotation", 16}, {"shift", 12}});
}

// What is drawn lies in the ranges that were given, fills them, and is uniform.
TEST_CASE("an affine transform's angle, translation, scale and shears fill their ranges") {
  Spread angle, tx, ty, scale, shear;
  const auto linear = [](const Operation& o) { return std::array<double, 4>{o.affine.xx, o.affine.xy, o.affine.yx, o.affine.yy}; };
  each_drawn(RandomRotation{{-20, 30}}, [&](const Operation& o) { angle.add(degrees(std::atan2(o.affine.yx, o.affine.xx))); });
  CHECK(angle.fills(-20, 30));
  angle = {};
  each_drawn(RandomAffine{.degrees = 25}, [&](const Operation& o) { angle.add(degrees(std::atan2(o.affine.yx, o.affine.xx))); });
  CHECK(angle.fills(-25, 25));
  each_drawn(RandomAffine{.translate = {0.2, 0.5}}, [&](const Operation& o) {
    tx.add(9.5 - static_cast<double>(o.affine.x0)), ty.add(13.5 - static_cast<double>(o.affine.y0));
    CHECK(linear(o) == std::array<double, 4>{1, 0, 0, 1});
  });
  CHECK(tx.fills(-4, 4));
  CHECK(ty.fills(-14, 14));
  each_drawn(RandomAffine{.scale = {0.5, 2}}, [&](const Operation& o) {
    scale.add(1 / static_cast<double>(o.affine.xx));
    CHECK(o.affine.xx == o.affine.yy);
  });
  CHECK(scale.fills(0.5, 2));
  each_drawn(RandomAffine{.shear_x = {-10, 40}}, [&](const Operation& o) { shear.add(degrees(std::atan(static_cast<double>(o.affine.xy)))); });
  CHECK(shear.fills(-10, 40));
  shear = {};
  each_drawn(RandomAffine{.shear_y = 30}, [&](const Operation& o) { shear.add(degrees(std::atan2(static_cast<double>(o.affine.yx), static_cast<double>(o.affine.yy)))); });
  CHECK(shear.fills(-30, 30));
}

TEST_CASE("crops, rectangles, factors and flips are drawn from what was given") {
  std::map<int, int> down, right;
  each_drawn(RandomCrop{2}, [&](const Operation& o) { ++down[o.shift.down], ++right[o.shift.right]; });
  for (const auto& counts : {down, right}) {
    CHECK(counts.size() == 5);
    for (int at = -2; at <= 2; ++at) CHECK(std::abs(counts.at(at) - 800) < 120);
  }
  Spread area, ratio, top;
  int erased = 0;
  each_drawn(RandomErasing{.p = 0.75, .scale = {0.1, 0.2}, .ratio = {0.5, 2}}, [&](const Operation& o) {
    if (o.kind != Operation::Kind::erase) return;
    ++erased;
    const int h = o.erase.bottom - o.erase.top, w = o.erase.right - o.erase.left;
    CHECK((o.erase.top >= 0 && o.erase.left >= 0 && o.erase.bottom <= 200 && o.erase.right <= 200));
    area.add(h * w / 40000.0), ratio.add(std::log2(static_cast<double>(h) / w)), top.add(o.erase.top / static_cast<double>(200 - h));
  }, 200, 200);
  CHECK(std::abs(erased - 3000) < 150);
  // Sides are whole pixels.
  CHECK((area.low > 0.098 && area.low < 0.102 && area.high > 0.198 && area.high < 0.202 && std::abs(area.sum / area.count - 0.15) < 0.002));
  CHECK((ratio.low > -1.03 && ratio.low < -0.97 && ratio.high > 0.97 && ratio.high < 1.03 && std::abs(ratio.sum / ratio.count) < 0.04));  // uniform in its logarithm
  CHECK(top.fills(0, 1));
  Spread brightness, contrast;
  each_drawn(ColorJitter{0.3, 1.5}, [&](const Operation& o) { brightness.add(o.jitter.brightness), contrast.add(o.jitter.contrast); });
  CHECK(brightness.fills(0.7, 1.3));
  CHECK(contrast.fills(0, 2.5));
  int flips = 0;
  each_drawn(RandomHorizontalFlip{0.25}, [&](const Operation& o) { flips += o.kind == Operation::Kind::flip; });
  CHECK(std::abs(flips - 1000) < 120);
}

TEST_CASE("RandomApply draws once for its list, each list and each transform by itself") {
  const RandomApply pair{{RandomRotation{10}, RandomRotation{10}}, 0.3};
  const kernels::Chain chain = compile({pair, pair, RandomRotation{10}}, 28, 28, {0, 1}, "test").chain;
  int first = 0, second = 0, both = 0;
  for (std::int64_t index = 0; index < 4000; ++index) {
    std::array<Operation, 5> drawn;
    for (int i = 0; i < 5; ++i) drawn[static_cast<std::size_t>(i)] = kernels::draw(chain, i, random_key("augment", 1), index, 28, 28);
    const auto applied = [&](std::size_t i) { return drawn[i].kind != Operation::Kind::none; };
    CHECK(applied(0) == applied(1));
    CHECK(applied(2) == applied(3));
    CHECK(applied(4));
    if (applied(0)) CHECK(drawn[0].affine.xy != drawn[1].affine.xy);
    first += applied(0), second += applied(2), both += applied(0) && applied(2);
  }
  CHECK(std::abs(first - 1200) < 120);
  CHECK(std::abs(second - 1200) < 120);
  CHECK(std::abs(both - 360) < 80);
}

TEST_CASE("elastic noise is uniform from -1 to 1, every pixel's and image's its own") {
  Spread moved;
  std::map<float, int> seen;
  const kernels::RandomKey key = random_key("augment", 1);
  for (std::int64_t index = 0; index < 6; ++index)
    for (std::uint64_t i = 0; i < 2 * 784; ++i) {
      const float noise = kernels::noise_from(kernels::random_bits(kernels::image_key(key, index, 3), i));
      moved.add(noise), ++seen[noise];
    }
  CHECK(moved.fills(-1, 1));
  CHECK(seen.size() > 9390);  // of 9408 numbers from 2²⁴
}

TEST_CASE("the seed, the epoch and the image's index decide: not the threads, the batch, or its order") {
  const ImageSet set = draw_digits(700, "train");
  const std::vector<Tensor> want = images(set, {.batch_size = 700, .shuffle = false, .augmentation = everything});
  const int threads = num_threads();
  for (const int count : {1, 2, 7}) {
    set_num_threads(count);
    CHECK(same_bits(images(set, {.batch_size = 700, .shuffle = false, .augmentation = everything}), want));
  }
  set_num_threads(threads);
  CHECK(same_bits(images(set, {.batch_size = 90, .shuffle = false, .augmentation = everything}), want));
  CHECK(!same_bits(images(set, {.batch_size = 700, .shuffle = false, .augmentation = everything}, 2), want));
  std::map<std::vector<float>, int> unordered;
  for (const Tensor& image : want) ++unordered[image.to_vector<float>()];
  for (const Tensor& image : images(set, {.batch_size = 32, .augmentation = everything})) --unordered[image.to_vector<float>()];
  CHECK(std::all_of(unordered.begin(), unordered.end(), [](const auto& entry) { return entry.second == 0; }));
  manual_seed(1);
  CHECK(!same_bits(images(set, {.batch_size = 700, .shuffle = false, .augmentation = everything}), want));
  manual_seed(0);
}

TEST_CASE("augmented images are the same bits by every instruction set, and in f64 the f32 ones") {
  const ImageSet set = draw_digits(40, "train");
  const BatchOptions options{.batch_size = 40, .shuffle = false, .augmentation = everything};
  const std::vector<Tensor> want = images(set, options);
  using kernels::InstructionSet;
  for (const InstructionSet most : {InstructionSet::portable, InstructionSet::avx2}) {
    kernels::limit_instruction_set(most);
    const std::vector<Tensor> got = images(set, options);
    kernels::limit_instruction_set(InstructionSet::avx512);
    CHECK(same_bits(got, want));
  }
  BatchOptions wide = options;
  wide.dtype = DType::f64;
  const std::vector<Tensor> doubles = images(set, wide);
  for (std::size_t i = 0; i < want.size(); ++i) CHECK(mica::test::same_bits(doubles[i].to(DType::f32), want[i]));
  CHECK(doubles[0].dtype() == DType::f64);
}

TEST_CASE("Normalize anywhere in the chain: what comes later fills with normalised values, and nothing normalises again") {
  const ImageSet set = draw_digits(5, "train");
  const Normalize to{0.25, 0.5};
  const std::vector<Tensor> plain = images(set, {.shuffle = false, .mean = 0.25, .std = 0.5});
  CHECK(same_bits(images(set, {.shuffle = false, .augmentation = {to}}), plain));
  const auto corner = [&](const Augmentation& augmentation) { return images(set, {.shuffle = false, .augmentation = augmentation, .mean = 0.25, .std = 0.5})[0].to_vector<float>()[0]; };
  const RandomAffine away{.translate = {0, 0}, .scale = {0.5, 0.5}};
  CHECK(corner({away}) == -0.5F);
  CHECK(corner({to, away}) == 0);
}

TEST_CASE("a blur's rows sum to 1 and mirror at the border") {
  const std::vector<float> b = gaussian_blur_matrix(30, 3.5);
  for (std::size_t i = 0; i < 30; ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < 30; ++j) sum += b[30 * i + j];
    CHECK(sum == Approx(1).margin(1e-6));
  }
  CHECK(gaussian_blur_size(5) == 41);
  CHECK(gaussian_blur_size(0.2) == 3);
  CHECK(gaussian_blur_size(0) == 1);
  CHECK(b[2] == Approx(2 * b[15 * 30 + 17]).epsilon(1e-6));  // pixel 2 counts twice for pixel 0: as itself and as pixel −2
  CHECK(b[15 * 30 + 18] / b[15 * 30 + 15] == Approx(std::exp(-0.5 * 9 / (3.5 * 3.5))).epsilon(1e-6));
}

TEST_CASE("an augmentation in words") {
  CHECK(to_string(Augmentation{}) == "none");
  CHECK(to_string(Augmentation{RandomApply{{CenterCropResize{22}}, 0.1}, RandomRotation{15}}) == "crop 22 p=0.1, rotation 15");
  CHECK(to_string(Augmentation{RandomApply{{RandomAffine{.degrees = 7, .translate = {0.1, 0.1}}, ElasticTransform{20, 5}}, 0.5}, Normalize{0.1, 0.5}}) ==
        "(rotation 7 translation 0.1, elastic 20 sigma 5) p=0.5, normalize 0.1 0.5");
  CHECK(to_string(Augmentation{RandomAffine{{-3, 5}, {0.1, 0.2}, {0.9, 1.1}, 10, 4, Interpolation::bilinear, 0.5}, RandomRotation{{0, 5}}, RandomAffine{}}) ==
        "rotation -3 to 5 translation 0.1 0.2 scale 0.9 to 1.1 shear 10 vertical shear 4 bilinear fill 0.5, rotation 0 to 5, affine");
  CHECK(to_string(Augmentation{ElasticTransform{50, 4, Interpolation::nearest}, RandomCrop{4}, RandomErasing{.value = 1}, ColorJitter{0.2, 0.3}, RandomHorizontalFlip{}}) ==
        "elastic 50 sigma 4 nearest, padding 4, erasing 0.02 to 0.33 ratio 0.3 to 3.3 p=0.5 fill 1, brightness 0.2 contrast 0.3, flip p=0.5");
}

TEST_CASE("transforms that mean nothing are refused when the loader is made") {
  const double nan = std::nan("");
  CHECK(refusal(everything).empty());
  CHECK(refusal({CenterCropResize{0}}) == "BatchLoader: CenterCropResize: expected a size of 1 to 28 pixels, got 0");
  CHECK(refusal({CenterCropResize{21}}, 30, 20) == "BatchLoader: CenterCropResize: expected a size of 1 to 20 pixels, got 21");
  CHECK(refusal({RandomRotation{361}}) == "BatchLoader: RandomRotation: expected a range of degrees within -360 to 360, got -361 to 361");
  CHECK(refusal({RandomRotation{nan}}) == "BatchLoader: RandomRotation: expected a range of degrees within -360 to 360, got -nan to nan");
  CHECK(refusal({RandomRotation{{3, 2}}}) == "BatchLoader: RandomRotation: expected a range of degrees within -360 to 360, got 3 to 2; the first must not be larger");
  CHECK(refusal({RandomRotation{5, Interpolation::nearest, nan}}) == "BatchLoader: RandomRotation: expected fill from -1e+09 to 1e+09, got nan");
  CHECK(refusal({RandomAffine{.translate = {0, -0.1}}}) == "BatchLoader: RandomAffine: expected translations from 0 to 1, got -0.1");
  CHECK(refusal({RandomAffine{.scale = {0, 1}}}) == "BatchLoader: RandomAffine: expected a range of scale within 0.001 to 1000, got 0 to 1");
  CHECK(refusal({RandomAffine{.shear_x = 90}}) == "BatchLoader: RandomAffine: expected a range of shear_x within -89 to 89, got -90 to 90");
  CHECK(refusal({RandomAffine{.shear_y = {-90, 0}}}) == "BatchLoader: RandomAffine: expected a range of shear_y within -89 to 89, got -90 to 0");
  CHECK(refusal({ElasticTransform{-1}}) == "BatchLoader: ElasticTransform: expected alpha from 0 to 1e+09, got -1");
  CHECK(refusal({ElasticTransform{50, nan}}) == "BatchLoader: ElasticTransform: expected sigma from 0 to 1e+09, got nan");
  CHECK(refusal({ElasticTransform{50, 5}}, 20, 28) ==
        "BatchLoader: ElasticTransform: expected images of 21×21 or more, about which a blur of sigma 5 is mirrored, got 20×28");
  CHECK(refusal({ElasticTransform{50, 5}}, 21, 21).empty());
  CHECK(refusal({RandomCrop{-1}}) == "BatchLoader: RandomCrop: expected a padding of 0 to 32767 pixels, got -1");
  CHECK(refusal({RandomErasing{.p = 1.1}}) == "BatchLoader: RandomErasing: expected a probability p from 0 to 1, got 1.1");
  CHECK(refusal({RandomErasing{.scale = {0.5, 1.5}}}) == "BatchLoader: RandomErasing: expected a range of scale within 0 to 1, got 0.5 to 1.5");
  CHECK(refusal({RandomErasing{.ratio = {0, 1}}}) == "BatchLoader: RandomErasing: expected a range of ratio within 0.001 to 1000, got 0 to 1");
  CHECK(refusal({ColorJitter{-0.1, 0}}) == "BatchLoader: ColorJitter: expected brightness from 0 to 1e+09, got -0.1");
  CHECK(refusal({ColorJitter{0, nan}}) == "BatchLoader: ColorJitter: expected contrast from 0 to 1e+09, got nan");
  CHECK(refusal({RandomHorizontalFlip{-0.5}}) == "BatchLoader: RandomHorizontalFlip: expected a probability p from 0 to 1, got -0.5");
  CHECK(refusal({Normalize{0, 0}}) == "BatchLoader: Normalize: expected a standard deviation that is not 0, got 0");
  CHECK(refusal({RandomApply{{RandomRotation{5}}, nan}}) == "BatchLoader: RandomApply: expected a probability p from 0 to 1, got nan");
  CHECK(refusal({RandomApply{{}, 0.5}}) == "BatchLoader: RandomApply: expected a transform or more, got none");
  CHECK(refusal({RandomApply{{RandomCrop{-1}}, 0.5}}) == "BatchLoader: RandomCrop: expected a padding of 0 to 32767 pixels, got -1");
  const RandomApply six{{6, RandomHorizontalFlip{}}, 0.5};
  CHECK(refusal({six, six}) == "BatchLoader: expected at most 12 transforms, Normalize included, got 13");
  CHECK(refusal({six, RandomApply{{5, RandomHorizontalFlip{}}, 0.5}}).empty());
  CHECK(refusal({}, 1, 32768) == "BatchLoader: expected images of at most 32767 pixels a side, got 1×32768");
}
