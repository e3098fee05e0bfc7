#include "../catch.h"
#include "../compare.h"
#include "../scratch_folder.h"
#include "http_server.h"

#include <mica/core/context.h>
#include <mica/core/error.h>
#include <mica/core/file.h>
#include <mica/data/download.h>
#include <mica/data/drawn_digits.h>
#include <mica/data/idx.h>
#include <mica/data/image_set.h>
#include <mica/data/mnist.h>

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>

#include <unistd.h>

using namespace mica;
using namespace mica::test;
namespace fs = std::filesystem;

namespace {

std::string idx(unsigned type, const std::vector<std::uint32_t>& sizes, const std::string& data) {
  std::string bytes{0, 0, static_cast<char>(type), static_cast<char>(sizes.size())};
  for (const std::uint32_t size : sizes)
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(size >> shift);
  return bytes + data;
}

std::string gzip(const std::string& bytes) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, bytes.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string idx_error(const std::string& bytes) {
  return error_text<FileError>([&] { parse_idx(gunzip(bytes, "f"), "f"); });
}

struct Environment {  // one variable, set for a test
  Environment(const char* variable, const std::string& value) : name(variable) { ::setenv(name, value.c_str(), 1); }
  ~Environment() { ::unsetenv(name); }
  const char* name;
};

// A small set with the names of MNIST's files.
void write_set(const fs::path& folder, std::uint32_t images, std::uint32_t labels) {
  for (const char* name : {"train", "t10k"}) {
    write_file(folder / (std::string(name) + "-images-idx3-ubyte"), {idx(8, {images, 28, 28}, std::string(images * 784, '\x40'))});
    write_file(folder / (std::string(name) + "-labels-idx1-ubyte"), {idx(8, {labels}, std::string(labels, '\x03'))});
  }
}

}  // namespace

TEST_CASE("every IDX type, any rank, gzip or not") {
  const Tensor x = parse_idx(idx(0x0B, {2, 1, 2}, std::string("\x00\x01\xff\xff\x01\x00\x80\x00", 8)), "f");
  CHECK(x.shape() == Shape{2, 1, 2});
  CHECK(x.to_vector<std::int32_t>() == std::vector<std::int32_t>{1, -1, 256, -32768});
  CHECK(parse_idx(idx(0x08, {2}, "\xff\x01"), "f").to_vector<std::uint8_t>() == std::vector<std::uint8_t>{255, 1});
  CHECK(parse_idx(idx(0x09, {1}, "\xff"), "f").to_vector<std::int32_t>() == std::vector<std::int32_t>{-1});
  CHECK(parse_idx(idx(0x0C, {1}, "\x7f\xff\xff\xff"), "f").to_vector<std::int32_t>() == std::vector<std::int32_t>{INT32_MAX});
  CHECK(parse_idx(idx(0x0D, {1}, std::string("\x3f\xc0\x00\x00", 4)), "f").to_vector<float>() == std::vector<float>{1.5F});
  CHECK(parse_idx(idx(0x0E, {1}, std::string("\xc0\x04\x00\x00\x00\x00\x00\x00", 8)), "f").to_vector<double>() == std::vector<double>{-2.5});
  CHECK(parse_idx(idx(0x08, {}, "\x05"), "f").item<std::uint8_t>() == 5);
  CHECK(parse_idx(idx(0x08, {0, 3}, ""), "f").shape() == Shape{0, 3});
  CHECK(parse_idx(idx(0x08, {1, 2, 2, 1}, "abcd"), "f").to_vector<std::uint8_t>() == std::vector<std::uint8_t>{'a', 'b', 'c', 'd'});
  const std::string raw = idx(0x08, {100, 100}, std::string(10000, 'q'));
  CHECK(same_bits(parse_idx(gunzip(gzip(raw), "f"), "f"), parse_idx(raw, "f")));
  CHECK(gunzip(gzip("two ") + gzip("members"), "f") == "two members");
}

TEST_CASE("malformed IDX files are rejected with the reason") {
  const std::string good = idx(8, {2, 3}, "abcdef");
  CHECK(idx_error(good).empty());
  CHECK(idx_error("") == "f is no IDX file: it has 0 bytes, expected at least 4");
  CHECK(idx_error(good.substr(0, 17)) ==
        "f is no IDX file: its header (shape 2×3) promises 6 bytes of elements, 5 are there: it is truncated");
  CHECK(idx_error(good + "x") == "f is no IDX file: its header (shape 2×3) promises 6 bytes of elements, 7 are there: it is too long");
  CHECK(idx_error("\x89PNG") == "f is no IDX file: it begins with 89 50 4e, expected 00 00 and one of 08 09 0b 0c 0d 0e");
  CHECK(idx_error(idx(8, std::vector<std::uint32_t>(9, 1), "a")) == "f is no IDX file: its rank is 9, expected at most 8");
  CHECK(idx_error(idx(8, {0xffffffff, 0xffffffff, 0xffffffff}, "a")) ==
        "f is no IDX file: its sizes multiply to more than any machine holds");
  CHECK(idx_error(idx(8, {0xffffffff}, "a")) ==
        "f is no IDX file: its header (shape 4294967295) promises 4294967295 bytes of elements, 1 are there: it is truncated");
  CHECK(idx_error(good.substr(0, 7)) == "f is no IDX file: it has 7 bytes, too few for 2 sizes");
  const std::string packed = gzip(good);
  CHECK(idx_error(packed.substr(0, packed.size() - 6)) == "f is corrupt gzip: it ends too early");
  std::string flipped = packed;
  flipped[flipped.size() - 6] = static_cast<char>(flipped[flipped.size() - 6] ^ 1);
  CHECK(idx_error(flipped) == "f is corrupt gzip: incorrect data check");
}

TEST_CASE("batches: every image once an epoch, the last one short, normalised; the seed and the epoch decide") {
  ImageSet set = draw_digits(103, "train");
  const auto epoch = [&](std::uint32_t number, std::int64_t size, const Augmentation& augmentation, bool shuffle = true) {
    BatchLoader loader(set, {.batch_size = size, .shuffle = shuffle, .augmentation = augmentation});
    loader.start(number);
    std::map<std::vector<float>, int> images;  // pixels → label
    std::vector<std::int64_t> labels;
    std::int64_t batches = 0;
    for (Batch batch; loader.next(batch); ++batches)
      for (std::int64_t i = 0; i < batch.labels.numel(); ++i) {
        labels.push_back(batch.labels.to_vector<std::int64_t>()[static_cast<std::size_t>(i)]);
        images[batch.images[i].to_vector<float>()] = static_cast<int>(labels.back());
      }
    CHECK(batches == (103 + size - 1) / size);
    return std::pair(images, labels);
  };
  const Augmentation none, strong{transforms::RandomApply{{transforms::CenterCropResize{22}}, 0.5}, transforms::RandomRotation{15}};
  const auto plain = epoch(1, 32, none);
  CHECK(plain.first.size() == 103);
  CHECK(plain.second != epoch(2, 32, none).second);
  CHECK(plain == epoch(1, 32, none));
  CHECK(plain.first == epoch(2, 7, none, false).first);
  // An image's augmentation does not depend on its batch, but on the epoch.
  CHECK(epoch(1, 32, strong).first == epoch(1, 50, strong, false).first);
  CHECK(epoch(1, 32, strong).first != epoch(2, 32, strong).first);
  CHECK(epoch(1, 32, strong).first != plain.first);
  BatchLoader loader(set, {.batch_size = 1, .shuffle = false});
  Batch batch;
  REQUIRE(loader.next(batch));
  CHECK(batch.images.shape() == Shape{1, 1, 28, 28});
  const float pixel = static_cast<float>(set.images.to_vector<std::uint8_t>()[300]);
  CHECK(batch.images.to_vector<float>()[300] == Approx((pixel / 255 - 0.1307F) / 0.3081F).margin(1e-6));
  CHECK(error_text<Error>([&] { BatchLoader(set, {.batch_size = 0}); }) == "BatchLoader: expected a batch size of 1 or more, got 0");
}

TEST_CASE("drawn digits have MNIST's shapes, ink in each, and no two alike") {
  const ImageSet set = draw_digits(500, "train");
  CHECK(set.images.shape() == Shape{500, 28, 28});
  std::map<std::vector<std::uint8_t>, int> seen;
  for (std::int64_t i = 0; i < 500; ++i) {
    const std::vector<std::uint8_t> image = set.images[i].to_vector<std::uint8_t>();
    const auto ink = std::count_if(image.begin(), image.end(), [](std::uint8_t v) { return v > 100; });
    CHECK(ink > 15);
    CHECK(ink < 300);
    ++seen[image];
  }
  CHECK(seen.size() == 500);
  CHECK(!same_bits(draw_digits(500, "test").images, set.images));
}

TEST_CASE("a folder of IDX files: what is wrong is said") {
  const ScratchFolder folder;
  const std::string name = folder.path.string();
  CHECK(error_text<FileError>([&] { load_mnist(folder.path / "no"); }) ==
        fmt::format("there is no folder {}/no; give the one with the four IDX files", name));
  CHECK(error_text<FileError>([&] { load_mnist(folder.path); }) ==
        fmt::format("{} has no train-images-idx3-ubyte (or train-images-idx3-ubyte.gz)", name));
  write_set(folder.path, 5, 4);
  CHECK(error_text<Error>([&] { load_mnist(folder.path); }) ==
        fmt::format("{}, training set: expected u8 labels of shape 5, one for each image, got u8 4", name));
  write_set(folder.path, 5, 5);
  const Digits digits = load_mnist(folder.path);
  CHECK(!digits.is_mnist);
  CHECK(digits.description == fmt::format("IDX files that are NOT the original MNIST in {}: 5 training and 5 test images", name));
  write_file(folder.path / "t10k-labels-idx1-ubyte", {idx(8, {5}, "\x01\x02\x0a\x01\x01")});
  CHECK(error_text<Error>([&] { load_mnist(folder.path); }) == fmt::format("{}, test set: label 2 is 10, expected a class from 0 to 9", name));
}

TEST_CASE("SHA-256 equals the published value") {
  CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");  // FIPS 180-4's example
}

TEST_CASE("downloading: what a mirror serves is checked; without MNIST, drawn digits say that they are not") {
  const ScratchFolder folder;
  const Environment cache("XDG_CACHE_HOME", folder.path.string());
  const char* own = std::getenv("MICA_DATA");
  const std::string real = own ? own : "";
  ::unsetenv("MICA_DATA");

  HttpServer server;
  server.files["/train-images-idx3-ubyte.gz"] = gzip("not the training images");
  const Environment mirror("MICA_MIRROR", server.url());
  CHECK(download(server.url() + "/train-images-idx3-ubyte.gz") == gzip("not the training images"));
  CHECK(error_text<FileError>([&] { download(server.url() + "/none"); }).rfind("cannot download " + server.url() + "/none: ", 0) == 0);
  const Digits drawn = load_mnist();
  CHECK(!drawn.is_mnist);
  CHECK(drawn.train.size() == 60000);
  CHECK(drawn.test.size() == 10000);
  CHECK(drawn.description.rfind("DRAWN DIGITS, NOT MNIST, which could not be had (" + server.url() +
                                    "/train-images-idx3-ubyte.gz is not the file that was expected (SHA-256 differs))", 0) == 0);
  CHECK(!fs::exists(folder.path / "mica" / "mnist"));

  if (real.empty() || !fs::exists(fs::path(real) / "train-images-idx3-ubyte.gz")) {
    WARN("MICA_DATA names no folder with MNIST's gzip files: the whole download is not tested");
    return;
  }
  for (const auto& entry : fs::directory_iterator(real)) server.files["/" + entry.path().filename().string()] = read_file(entry.path());
  const Digits mnist = load_mnist();
  CHECK(mnist.is_mnist);
  CHECK(mnist.train.size() == 60000);
  write_file(folder.path / "mica" / "mnist" / "t10k-labels-idx1-ubyte.gz", {"damaged"});
  CHECK(load_mnist().is_mnist);  // repaired
  server.files.clear();
  CHECK(load_mnist().is_mnist);  // now from the cache
  ::setenv("MICA_DATA", "/nowhere", 1);
  CHECK(load_mnist().description.find(" ($MICA_DATA=/nowhere has not all four IDX files)") != std::string::npos);
  ::setenv("MICA_DATA", real.c_str(), 1);
  CHECK(load_mnist().description.find(real) != std::string::npos);
}
