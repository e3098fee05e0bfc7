#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/file.h>
#include <mica/core/safetensors.h>
#include <mica/kernels/dims.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian; this machine is not");

namespace mica {
namespace {

using nlohmann::json;

constexpr std::uint64_t longest_header = 100'000'000;
constexpr int deepest = 127;  // the official reader's limit on nested JSON

struct Entry {
  std::string key;
  DType dtype;
  Shape shape;
  std::uint64_t begin, end;
};

const std::map<std::string, DType> dtypes{
    {"F32", DType::f32}, {"F64", DType::f64}, {"I64", DType::i64}, {"I32", DType::i32}, {"U8", DType::u8}};

std::string dtype_text(DType dtype) {
  return std::find_if(dtypes.begin(), dtypes.end(), [=](const auto& known) { return known.second == dtype; })->first;
}

// Reads one file's bytes; every complaint names it.
class Reader {
 public:
  Reader(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  Safetensors read() {
    if (bytes_.size() < 8) fail(fmt::format("it has {} bytes, expected at least the 8 of the header's length", bytes_.size()));
    std::uint64_t length = 0;
    std::memcpy(&length, bytes_.data(), 8);
    if (length > longest_header) fail(fmt::format("its header claims {} bytes, expected at most {}", length, longest_header));
    if (length > bytes_.size() - 8) fail(fmt::format("its header claims {} bytes, but only {} follow", length, bytes_.size() - 8));
    const json header = parse(bytes_.substr(8, length));
    data_ = bytes_.substr(8 + length);
    Safetensors content;
    std::vector<Entry> entries;
    for (const auto& [key, value] : header.items()) {
      if (key == "__metadata__") content.metadata = metadata(value);
      else entries.push_back(entry(key, value));
    }
    std::stable_sort(entries.begin(), entries.end(),
                     [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
    std::uint64_t at = 0;
    for (const Entry& e : entries) {
      if (e.begin != at || e.end < e.begin)
        fail(fmt::format("tensor '{}' lies at bytes {} to {} of the data, expected it to begin at {}", e.key, e.begin, e.end, at));
      check_size(e);
      at = e.end;
    }
    if (at != data_.size()) fail(fmt::format("its tensors take {} bytes, but {} bytes of data follow the header", at, data_.size()));
    for (const Entry& e : entries) content.tensors.emplace_back(e.key, tensor(e));
    return content;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw FileError(fmt::format("{} is no safetensors file: {}", name_, what)); }

  // Strict JSON: nlohmann accepts a byte-order mark and duplicate keys, which the official reader does not.
  json parse(std::string_view text) const {
    if (text.empty() || text[0] != '{') fail("its header does not begin with '{'");
    std::vector<std::set<std::string>> keys;
    std::string duplicate;
    if (text.find('\0') != std::string_view::npos) fail("its header has a NUL byte");
    const auto check = [&](int depth, json::parse_event_t event, json& value) {
      if (depth > deepest) fail(fmt::format("its header is nested more than {} deep", deepest));
      if (event == json::parse_event_t::object_start) keys.emplace_back();
      if (event == json::parse_event_t::object_end) keys.pop_back();
      if (event == json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second) duplicate = value.get<std::string>();
      return true;
    };
    json header;
    try {
      header = json::parse(text, check);
    } catch (const json::exception& error) {
      fail(fmt::format("its header is not JSON ({})", error.what()));
    }
    if (!duplicate.empty()) fail(fmt::format("its header has '{}' twice", duplicate));
    return header;
  }

  std::map<std::string, std::string> metadata(const json& value) const {
    if (!value.is_object()) fail("__metadata__ is not an object");
    std::map<std::string, std::string> strings;
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) fail(fmt::format("__metadata__ '{}' is not a string", key));
      strings[key] = text.get<std::string>();
    }
    return strings;
  }

  std::uint64_t number(const std::string& key, const json& value) const {
    if (!value.is_number_unsigned()) fail(fmt::format("tensor '{}' has {} where a whole number of 0 or more belongs", key, value.dump()));
    return value.get<std::uint64_t>();
  }

  Entry entry(const std::string& key, const json& value) const {
    if (!value.is_object() || !value.contains("dtype") || !value.contains("shape") || !value.contains("data_offsets"))
      fail(fmt::format("tensor '{}' lacks one of dtype, shape and data_offsets", key));
    const json &dtype = value["dtype"], &shape = value["shape"], &offsets = value["data_offsets"];
    if (!dtype.is_string() || !shape.is_array() || !offsets.is_array() || offsets.size() != 2)
      fail(fmt::format("tensor '{}' has a malformed dtype, shape or data_offsets", key));
    const auto known = dtypes.find(dtype.get<std::string>());
    if (known == dtypes.end())
      fail(fmt::format("tensor '{}' has dtype {}, expected F32, F64, I64, I32 or U8", key, dtype.dump()));
    Entry e{key, known->second, {}, number(key, offsets[0]), number(key, offsets[1])};
    for (const json& size : shape) {
      const std::uint64_t n = number(key, size);
      if (n > static_cast<std::uint64_t>(INT64_MAX)) fail(fmt::format("tensor '{}' has a size of {}", key, n));
      e.shape.push_back(static_cast<std::int64_t>(n));
    }
    return e;
  }

  void check_size(const Entry& e) const {
    if (e.shape.size() > kernels::max_rank)
      fail(fmt::format("tensor '{}' has rank {}, more than the {} that Mica takes", e.key, e.shape.size(), kernels::max_rank));
    std::uint64_t bytes = size_of(e.dtype);
    for (const std::int64_t size : e.shape)
      if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(size), &bytes))
        fail(fmt::format("tensor '{}' of shape {} overflows", e.key, to_string(e.shape)));
    if (bytes != e.end - e.begin)
      fail(fmt::format("tensor '{}' of {} {} takes {} bytes, but its data_offsets span {}", e.key, name_of(e.dtype),
                       to_string(e.shape), bytes, e.end - e.begin));
    if (e.end > data_.size()) fail(fmt::format("tensor '{}' ends at byte {} of {} bytes of data", e.key, e.end, data_.size()));
  }

  Tensor tensor(const Entry& e) const {
    Tensor flat = Tensor::empty({numel(e.shape)}, e.dtype);
    if (e.end > e.begin) std::memcpy(flat.raw_data(), data_.data() + e.begin, e.end - e.begin);
    return flat.reshape(e.shape);
  }

  std::string_view bytes_, data_;
  const std::string& name_;
};

}  // namespace

Safetensors parse_safetensors(std::string_view bytes, const std::string& name) { return Reader(bytes, name).read(); }

Safetensors load_safetensors(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  return parse_safetensors(bytes, path.string());
}

void save_safetensors(const std::filesystem::path& path, const Safetensors& content) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!content.metadata.empty()) header["__metadata__"] = content.metadata;
  std::vector<Tensor> flat;  // in logical order
  std::uint64_t at = 0;
  for (const auto& [key, tensor] : content.tensors) {
    const Tensor values = tensor.detach().reshape({tensor.numel()});
    const std::uint64_t bytes = static_cast<std::uint64_t>(values.numel()) * size_of(values.dtype());
    header[key] = {{"dtype", dtype_text(values.dtype())}, {"shape", tensor.shape()}, {"data_offsets", {at, at + bytes}}};
    at += bytes;
    flat.push_back(values);
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  std::vector<std::string_view> pieces{{reinterpret_cast<const char*>(&length), 8}, text};
  for (const Tensor& values : flat)
    pieces.emplace_back(static_cast<const char*>(values.raw_data()), static_cast<std::size_t>(values.numel()) * size_of(values.dtype()));
  write_file(path, pieces);
}

}  // namespace mica
