#include <mica/core/error.h>
#include <mica/core/file.h>
#include <mica/data/download.h>
#include <mica/data/drawn_digits.h>
#include <mica/data/idx.h>
#include <mica/data/mnist.h>

#include <fmt/format.h>

#include <array>
#include <cstdlib>

namespace mica {
namespace {

namespace fs = std::filesystem;

struct File {
  const char* name;
  const char* sha256;  // of the uncompressed bytes
};
constexpr std::array<File, 4> files{{
    {"train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"},
    {"train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"},
    {"t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"},
    {"t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"},
}};

constexpr std::array<const char*, 2> public_mirrors{"https://ossci-datasets.s3.amazonaws.com/mnist",
                                                    "https://storage.googleapis.com/cvdf-datasets/mnist"};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// The file in the folder, raw or with .gz; empty where neither is there.
fs::path find(const fs::path& folder, const File& file) {
  for (const char* ending : {"", ".gz"})
    if (fs::path path = folder / (std::string(file.name) + ending); fs::is_regular_file(path)) return path;
  return {};
}

bool has_all(const fs::path& folder) {
  for (const File& file : files)
    if (find(folder, file).empty()) return false;
  return true;
}

Digits load_folder(const fs::path& folder) {
  if (!fs::is_directory(folder)) throw FileError(fmt::format("there is no folder {}; give the one with the four IDX files", folder.string()));
  std::array<Tensor, 4> tensors;
  Digits digits{{}, {}, true, ""};
  for (std::size_t i = 0; i < files.size(); ++i) {
    const fs::path path = find(folder, files[i]);
    if (path.empty()) throw FileError(fmt::format("{} has no {} (or {}.gz)", folder.string(), files[i].name, files[i].name));
    const std::string bytes = gunzip(read_file(path), path.string());
    digits.is_mnist = digits.is_mnist && sha256(bytes) == files[i].sha256;
    tensors[i] = parse_idx(bytes, path.string());
  }
  digits.train = {tensors[0], tensors[1]};
  digits.test = {tensors[2], tensors[3]};
  check(digits.train, 10, folder.string() + ", training set");
  check(digits.test, 10, folder.string() + ", test set");
  digits.description = fmt::format("{} in {}: {} training and {} test images",
                                   digits.is_mnist ? "MNIST (SHA-256 checked)" : "IDX files that are NOT the original MNIST",
                                   folder.string(), digits.train.size(), digits.test.size());
  return digits;
}

fs::path cache_folder() {
  const std::string cache = environment("XDG_CACHE_HOME"), home = environment("HOME");
  if (!cache.empty()) return fs::path(cache) / "mica" / "mnist";
  return (home.empty() ? fs::temp_directory_path() : fs::path(home) / ".cache") / "mica" / "mnist";
}

// All four files into folder, each from the first mirror that has it whole. Throws FileError of the last failure.
void download_all(const fs::path& folder) {
  std::vector<std::string> mirrors(public_mirrors.begin(), public_mirrors.end());
  if (const std::string own = environment("MICA_MIRROR"); !own.empty()) mirrors = {own};
  std::error_code ignored;
  fs::create_directories(folder, ignored);  // where it fails, write_file says why
  for (const File& file : files) {
    if (!find(folder, file).empty()) continue;
    std::string failure;
    for (const std::string& mirror : mirrors) {
      const std::string url = fmt::format("{}/{}.gz", mirror, file.name);
      try {
        const std::string packed = download(url);
        if (sha256(gunzip(packed, url)) != file.sha256) throw FileError(url + " is not the file that was expected (SHA-256 differs)");
        write_file(folder / (std::string(file.name) + ".gz"), {packed});
        failure.clear();
        break;
      } catch (const FileError& error) {
        failure = error.what();
      }
    }
    if (!failure.empty()) throw FileError(failure);
  }
}

}  // namespace

Digits load_mnist(const fs::path& folder) {
  if (!folder.empty()) return load_folder(folder);
  if (const fs::path own = environment("MICA_DATA"); !own.empty() && has_all(own)) return load_folder(own);
  const fs::path cache = cache_folder();
  try {
    if (!has_all(cache)) download_all(cache);
    return load_folder(cache);
  } catch (const Error& error) {
    Digits digits{draw_digits(60000, "train"), draw_digits(10000, "test"), false, ""};
    digits.description = fmt::format("DRAWN DIGITS, NOT MNIST, which could not be had ({}); --data DIR names a folder with the IDX files",
                                     error.what());
    return digits;
  }
}

}  // namespace mica
