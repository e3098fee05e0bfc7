// Writes images as a network's recipe augments them: a PNG with a row an image, the image itself first, then as each epoch has it.
//   contact_sheet skip-7k.png --network skip-7k --images 8 --epochs 10
#include "networks/network.h"

#include <mica/core/error.h>
#include <mica/core/file.h>
#include <mica/core/random.h>
#include <mica/data/mnist.h>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <png.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace {

using namespace mica;

// Grey pixels, row by row.
struct Sheet {
  std::int64_t height, width;
  std::vector<std::uint8_t> pixels;

  Sheet(std::int64_t h, std::int64_t w) : height(h), width(w), pixels(static_cast<std::size_t>(h * w), 0) {}

  // image: (1, H, W), as BatchLoader normalises it
  void put(std::int64_t top, std::int64_t left, const Tensor& image, const BatchOptions& options) {
    const std::vector<float> values = image.to_vector<float>();
    const std::int64_t h = image.size(1), w = image.size(2);
    for (std::int64_t i = 0; i < h * w; ++i) {
      const double grey = (static_cast<double>(values[static_cast<std::size_t>(i)]) * options.std + options.mean) * 255;
      pixels[static_cast<std::size_t>((top + i / w) * width + left + i % w)] = static_cast<std::uint8_t>(std::lround(std::clamp(grey, 0.0, 255.0)));
    }
  }

  void write(const std::string& path) const {
    png_image png{};
    png.version = PNG_IMAGE_VERSION;
    png.width = static_cast<png_uint_32>(width), png.height = static_cast<png_uint_32>(height), png.format = PNG_FORMAT_GRAY;
    std::string bytes(PNG_IMAGE_PNG_SIZE_MAX(png), '\0');
    png_alloc_size_t size = bytes.size();
    if (!png_image_write_to_memory(&png, bytes.data(), &size, 0, pixels.data(), 0, nullptr)) throw Error(fmt::format("cannot make a PNG: {}", png.message));
    write_file(path, {std::string_view(bytes).substr(0, size)});
  }
};

}  // namespace

int main(int argc, char** argv) {
  std::string out, network = "gap-19k", data;
  std::int64_t count = 10, epochs = 10;
  std::uint64_t seed = 0;
  CLI::App app("Writes a PNG of training images: each as it is, then as a network's recipe augments it in each epoch.", "contact_sheet");
  app.add_option("FILE", out, "PNG file to write")->required();
  app.add_option("--network", network, "whose recipe")->capture_default_str();
  app.add_option("--data", data, "folder with the four IDX files, as mnist has it");
  app.add_option("--images", count, "rows")->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--epochs", epochs, "columns after the first")->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--seed", seed, "of the augmentation")->capture_default_str();
  try {
    app.parse(argc, argv);
    require_writable(out);
    manual_seed(seed);
    const Digits digits = load_mnist(data);
    const Augmentation augmentation = networks::find(network).recipe.augmentation;
    const std::int64_t h = digits.train.images.size(1), w = digits.train.images.size(2), gap = 2;
    const std::int64_t rows = std::min(count, digits.train.size());
    const ImageSet set{digits.train.images.slice(0, rows), digits.train.labels.slice(0, rows)};
    Sheet sheet(rows * (h + gap) - gap, (epochs + 1) * (w + gap) - gap);
    for (std::int64_t epoch = 0; epoch <= epochs; ++epoch) {
      BatchOptions options{.batch_size = rows, .shuffle = false};
      if (epoch > 0) options.augmentation = augmentation;
      BatchLoader loader(set, options);
      loader.start(static_cast<std::uint32_t>(epoch));
      Batch batch;
      loader.next(batch);
      for (std::int64_t row = 0; row < rows; ++row) sheet.put(row * (h + gap), epoch * (w + gap), batch.images[row], options);
    }
    sheet.write(out);
    fmt::print("{}: {} images of {} by {}'s recipe: {}\n", out, rows, digits.is_mnist ? "MNIST" : "not MNIST", network, to_string(augmentation));
    return 0;
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    return 0;
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "contact_sheet: {} (--help lists the options)\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "contact_sheet: {}\n", error.what());
    return 1;
  }
}
