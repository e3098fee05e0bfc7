#include <mica/core/error.h>
#include <mica/core/file.h>
#include <mica/core/json_string.h>
#include <mica/core/nearest.h>
#include <mica/core/safetensors.h>
#include <mica/core/safetensors_values.h>
#include <mica/kernels/dims.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>

namespace mica {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t length_bytes = 8;  // of the header's length
constexpr std::uint64_t longest_header = 100'000'000;

const char* name_of_dtype(DType dtype) {
  switch (dtype) {
    case DType::f32: return "F32";
    case DType::f64: return "F64";
    case DType::i64: return "I64";
    case DType::i32: return "I32";
    case DType::u8: return "U8";
  }
  return "";
}

// Why no Tensor has this shape; "" where one has. Tensors bound the product of their sizes, those of 0 left out.
std::string why_not_shaped(const SafetensorsEntry& e) {
  if (e.rank > kernels::max_rank)
    return fmt::format("Mica takes ranks of at most {}; reshape it before saving", kernels::max_rank);
  std::int64_t product = 16;
  for (const std::uint64_t size : e.shape)
    if (__builtin_mul_overflow(product, std::max<std::uint64_t>(size, 1), &product))
      return "its sizes are too large; reshape it before saving";
  return "";
}

}  // namespace

SafetensorsFile::SafetensorsFile(const fs::path& path) : name_(path.string()) {
  std::error_code error;
  if (fs::is_directory(path, error)) throw FileError(fmt::format("cannot read {}: it is a folder", name_));
  const auto file = std::make_shared<std::ifstream>(path, std::ios::binary);
  if (!*file) throw FileError(fmt::format("cannot read {}: {}", name_, std::strerror(errno)));
  const std::uint64_t size = fs::file_size(path, error);
  if (error) throw FileError(fmt::format("cannot read {}: {}; give a regular file", name_, error.message()));
  read_ = [file, name = name_](std::uint64_t at, std::size_t count, char* to) {
    if (!file->seekg(static_cast<std::streamoff>(at)).read(to, static_cast<std::streamsize>(count)))
      throw FileError(fmt::format("cannot read {}: it ends or fails before byte {}", name, at + count));
  };
  read_header(size);
}

SafetensorsFile::SafetensorsFile(std::string_view bytes, const std::string& name) : name_(name) {
  read_ = [bytes](std::uint64_t at, std::size_t count, char* to) { std::memcpy(to, bytes.data() + at, count); };
  read_header(bytes.size());
}

void SafetensorsFile::read_header(std::uint64_t file_size) {
  const auto fail = [&](const std::string& what) { throw FileError(fmt::format("{} is no safetensors file: {}", name_, what)); };
  if (file_size < length_bytes) fail(fmt::format("it has {} bytes, expected at least the 8 of the header's length", file_size));
  std::uint64_t length = 0;
  read_(0, length_bytes, reinterpret_cast<char*>(&length));
  if (length > longest_header) fail(fmt::format("its header claims {} bytes, expected at most {}", length, longest_header));
  if (length > file_size - length_bytes)
    fail(fmt::format("its header claims {} bytes, but only {} follow", length, file_size - length_bytes));
  std::string json(length, '\0');
  read_(length_bytes, length, json.data());
  data_ = length_bytes + length;
  header_ = parse_safetensors_header(json, file_size - data_, name_);
}

Tensor SafetensorsFile::tensor(std::string_view key) const {
  const auto found = std::find_if(entries().begin(), entries().end(), [&](const SafetensorsEntry& e) { return e.key == key; });
  if (found != entries().end()) return tensor(*found);
  std::vector<std::string> keys;
  for (const SafetensorsEntry& e : entries())
    if (e.key.size() < 200) keys.push_back(e.key);  // longer ones would take long to compare
  const std::string nearest = nearest_name(shown(key), keys);
  throw FileError(fmt::format("{} has no tensor '{}' among its {}{}", name_, shown(key), entries().size(),
                              nearest.empty() ? "" : "; did you mean " + shown(nearest) + "?"));
}

Tensor SafetensorsFile::tensor(const SafetensorsEntry& e) const {
  const auto fail = [&](const std::string& why) {
    throw FileError(fmt::format("{}: tensor '{}' of {} cannot be held: {}", name_, shown(e.key), describe(e), why));
  };
  const std::optional<DType> dtype = held_as(e.dtype->name);
  if (!dtype) fail(why_not_held(e.dtype->name));
  if (const std::string why = why_not_shaped(e); !why.empty()) fail(why);
  const Shape shape(e.shape.begin(), e.shape.end());
  if (e.elements == 0) return Tensor::empty(shape, *dtype);  // nothing to reorder, however large the other sizes
  Tensor flat = Tensor::empty({static_cast<std::int64_t>(*e.elements)}, *dtype);
  if (held_unchanged(e.dtype->name)) {
    read_(data_ + e.begin, e.end - e.begin, static_cast<char*>(flat.raw_data()));
  } else if (const std::int64_t bad = convert(e, flat); bad >= 0) {
    fail(fmt::format("its element {} is above 2⁶³ − 1, the largest i64; save it as F64, or without such values", bad));
  }
  return flat.reshape(shape);
}

// In pieces, so that there is no second copy of the tensor. The index of an element that does not fit, or -1.
std::int64_t SafetensorsFile::convert(const SafetensorsEntry& e, Tensor& flat) const {
  constexpr std::int64_t most = 65536;
  const std::int64_t size = e.dtype->bits / 8, held_size = static_cast<std::int64_t>(size_of(flat.dtype()));
  std::vector<char> piece(static_cast<std::size_t>(std::min(most, flat.numel()) * size));
  for (std::int64_t i = 0; i < flat.numel(); i += most) {
    const std::int64_t n = std::min(most, flat.numel() - i);
    read_(data_ + e.begin + static_cast<std::uint64_t>(i * size), static_cast<std::size_t>(n * size), piece.data());
    const std::int64_t bad = convert_values(e.dtype->name, piece.data(), n, static_cast<char*>(flat.raw_data()) + i * held_size);
    if (bad >= 0) return i + bad;
  }
  return -1;
}

namespace {

Safetensors load_all(const SafetensorsFile& file) {
  Safetensors content{{}, file.metadata()};
  for (const SafetensorsEntry& e : file.entries()) content.tensors.emplace_back(e.key, file.tensor(e));
  return content;
}

}  // namespace

Safetensors load_safetensors(const fs::path& path) { return load_all(SafetensorsFile(path)); }

Safetensors parse_safetensors(std::string_view bytes, const std::string& name) { return load_all(SafetensorsFile(bytes, name)); }

namespace {

// Throws FileError where what would be written could not be read again.
void check_keys(const std::filesystem::path& path, const Safetensors& content) {
  std::set<std::string> seen;
  const auto fail = [&](const std::string& what) { throw FileError(fmt::format("{} cannot be written: {}", path.string(), what)); };
  for (const auto& [key, tensor] : content.tensors) {
    if (key == "__metadata__") fail("a tensor is named __metadata__, which is not a tensor's name in the format");
    if (!seen.insert(key).second) fail(fmt::format("the tensor '{}' is there twice", key));
    if (!tensor.defined()) fail(fmt::format("the tensor '{}' is undefined", key));
  }
}

}  // namespace

void save_safetensors(const std::filesystem::path& path, const Safetensors& content) {
  check_keys(path, content);
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!content.metadata.empty()) header["__metadata__"] = content.metadata;
  std::vector<Tensor> flat;  // in logical order
  std::uint64_t at = 0;
  for (const auto& [key, tensor] : content.tensors) {
    const Tensor values = tensor.detach().to(Device::cpu()).reshape({tensor.numel()});  // a device that is full has no room to reorder
    const std::uint64_t bytes = static_cast<std::uint64_t>(values.numel()) * size_of(values.dtype());
    header[key] = {{"dtype", name_of_dtype(values.dtype())}, {"shape", tensor.shape()}, {"data_offsets", {at, at + bytes}}};
    at += bytes;
    flat.push_back(values);
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception& error) {
    throw FileError(fmt::format("{} cannot be written: a key or metadata is not UTF-8 ({})", path.string(), error.what()));
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  std::vector<std::string_view> pieces{{reinterpret_cast<const char*>(&length), 8}, text};
  for (const Tensor& values : flat)
    pieces.emplace_back(static_cast<const char*>(values.raw_data()),
                        static_cast<std::size_t>(values.numel()) * size_of(values.dtype()));
  write_file(path, pieces);
}

std::string json_string(const std::string& text) {
  using Json = nlohmann::ordered_json;
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace mica
