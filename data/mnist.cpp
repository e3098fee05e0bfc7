#include <mica/core/error.h>
#include <mica/core/file.h>
#include <mica/data/download.h>
#include <mica/data/drawn_digits.h>
#include <mica/data/idx.h>
#include <mica/data/mnist.h>

#include <fmt/format.h>

#include <algorithm>
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

// The file in the folder, raw or with .gz; empty where neither is there, or the folder cannot be looked into.
fs::path find(const fs::path& folder, const File& file) {
  std::error_code ignored;
  for (const char* ending : {"", ".gz"})
    if (fs::path path = folder / (std::string(file.name) + ending); fs::is_regular_file(path, ignored)) return path;
  return {};
}

bool has_all(const fs::path& folder) {
  return std::all_of(files.begin(), files.end(), [&](const File& file) { return !find(folder, file).empty(); });
}

// The uncompressed bytes of the four files, in the order of `files`, and what to call each.
struct Contents {
  std::array<std::string, 4> bytes, names;
  bool is_mnist = true;
};

Digits parse(const Contents& contents, const std::string& where) {
  std::array<Tensor, 4> tensors;
  for (std::size_t i = 0; i < files.size(); ++i) tensors[i] = parse_idx(contents.bytes[i], contents.names[i]);
  Digits digits{{tensors[0], tensors[1]}, {tensors[2], tensors[3]}, contents.is_mnist, ""};
  check(digits.train, 10, where + ", training set");
  check(digits.test, 10, where + ", test set");
  digits.description = fmt::format("{} in {}: {} training and {} test images",
                                   digits.is_mnist ? "MNIST (SHA-256 checked)" : "IDX files that are NOT the original MNIST", where,
                                   digits.train.size(), digits.test.size());
  return digits;
}

Digits load_folder(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored))
    throw FileError(fmt::format("there is no folder {}; give the one with the four IDX files", folder.string()));
  Contents contents;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const fs::path path = find(folder, files[i]);
    if (path.empty()) throw FileError(fmt::format("{} has no {} (or {}.gz)", folder.string(), files[i].name, files[i].name));
    contents.names[i] = path.string();
    contents.bytes[i] = gunzip(read_file(path), path.string());
    contents.is_mnist = contents.is_mnist && sha256(contents.bytes[i]) == files[i].sha256;
  }
  return parse(contents, folder.string());
}

fs::path cache_folder() {
  const std::string cache = environment("XDG_CACHE_HOME"), home = environment("HOME");
  if (!cache.empty()) return fs::path(cache) / "mica" / "mnist";
  return (home.empty() ? fs::temp_directory_path() : fs::path(home) / ".cache") / "mica" / "mnist";
}

// The file from the cache; empty where it is not there or is not MNIST's.
std::string from_cache(const fs::path& folder, const File& file) {
  try {
    const fs::path path = find(folder, file);
    if (path.empty()) return "";
    std::string bytes = gunzip(read_file(path), path.string());
    return sha256(bytes) == file.sha256 ? bytes : "";
  } catch (const FileError&) {
    return "";  // damaged: it is downloaded again
  }
}

// The file from the first mirror that has it whole, kept in the cache where that can be written.
// Throws the FileError of the last mirror.
std::string from_mirrors(const fs::path& folder, const File& file) {
  std::vector<std::string> mirrors(public_mirrors.begin(), public_mirrors.end());
  if (const std::string own = environment("MICA_MIRROR"); !own.empty()) mirrors = {own};
  for (std::size_t i = 0;; ++i) {
    const std::string url = fmt::format("{}/{}.gz", mirrors[i], file.name);
    std::string packed, bytes;
    try {
      packed = download(url);
      bytes = gunzip(packed, url);
      if (sha256(bytes) != file.sha256) throw FileError(url + " is not the file that was expected (SHA-256 differs)");
    } catch (const FileError&) {
      if (i + 1 == mirrors.size()) throw;
      continue;
    }
    try {
      std::error_code ignored;  // where it fails, so does write_file
      fs::create_directories(folder, ignored);
      fs::remove(folder / file.name, ignored);  // a damaged raw file would hide the good one
      write_file(folder / (std::string(file.name) + ".gz"), {packed});
    } catch (const FileError&) {  // this run does without a cache; the next downloads again
    }
    return bytes;
  }
}

}  // namespace

Digits load_mnist(const fs::path& folder) {
  if (!folder.empty()) return load_folder(folder);
  const fs::path own = environment("MICA_DATA"), cache = cache_folder();
  if (!own.empty() && has_all(own)) return load_folder(own);
  Digits digits;
  try {
    Contents contents;
    for (std::size_t i = 0; i < files.size(); ++i) {
      contents.names[i] = files[i].name;
      contents.bytes[i] = from_cache(cache, files[i]);
      if (contents.bytes[i].empty()) contents.bytes[i] = from_mirrors(cache, files[i]);
    }
    digits = parse(contents, cache.string());
  } catch (const FileError& error) {
    digits = {draw_digits(60000, "train"), draw_digits(10000, "test"), false, ""};
    digits.description = fmt::format("DRAWN DIGITS, NOT MNIST, which could not be had ({}); --data DIR names a folder with the IDX files",
                                     error.what());
  }
  if (!own.empty()) digits.description += fmt::format(" ($MICA_DATA={} has not all four IDX files)", own.string());
  return digits;
}

}  // namespace mica
