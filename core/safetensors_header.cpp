#include <mica/core/error.h>
#include <mica/core/json_reader.h>
#include <mica/core/nearest.h>
#include <mica/core/safetensors_header.h>
#include <mica/kernels/dims.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>

namespace mica {
namespace {

constexpr std::array<SafetensorsDtype, 22> dtypes{{
    {"BOOL", 8}, {"F4", 4}, {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8}, {"I8", 8}, {"F8_E5M2", 8}, {"F8_E4M3", 8},
    {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16}, {"U16", 16}, {"F16", 16}, {"BF16", 16}, {"I32", 32},
    {"U32", 32}, {"F32", 32}, {"C64", 64}, {"F64", 64}, {"I64", 64}, {"U64", 64}}};

constexpr std::array<const char*, 3> fields{"dtype", "shape", "data_offsets"};
constexpr std::size_t longest_name = 64;  // of a field or a dtype, which are shorter; more of it is not read into memory

// Reads one header; every complaint names the file and, where it is about one, the tensor.
class HeaderParser {
 public:
  HeaderParser(std::string_view json, std::uint64_t data_size, const std::string& file)
      : json_(json), data_size_(data_size), file_(file) {}

  SafetensorsHeader parse() {
    json_.object([this](const std::string& key) {
      if (key == "__metadata__") metadata();
      else entries_.insert_or_assign(key, entry(key));  // of a key that comes twice, the last one counts
    });
    json_.end();
    for (auto& [key, entry] : entries_) header_.entries.push_back(std::move(entry));
    check_layout();
    return std::move(header_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw FileError(fmt::format("{} is no safetensors file: {}", file_, what));
  }
  template <class... Arguments>
  [[noreturn]] void fail(const SafetensorsEntry& e, fmt::format_string<Arguments...> what, Arguments&&... arguments) const {
    fail(fmt::format("tensor '{}' {}", shown(e.key), fmt::format(what, std::forward<Arguments>(arguments)...)));
  }

  void metadata() {
    if (has_metadata_) fail("it has __metadata__ twice");
    has_metadata_ = true;
    if (json_.kind() == JsonReader::Kind::null) return json_.null();
    if (json_.kind() != JsonReader::Kind::object) fail("__metadata__ is not an object of strings");
    json_.object([this](const std::string& key) {
      if (json_.kind() != JsonReader::Kind::string) fail(fmt::format("__metadata__ '{}' is not a string", shown(key)));
      header_.metadata[key] = json_.string();
    });
  }

  // An object with the three fields, each once, and any others; or, as the official library has it, an array of the three.
  SafetensorsEntry entry(const std::string& key) {
    SafetensorsEntry e;
    e.key = key;
    if (json_.kind() == JsonReader::Kind::array) {
      std::size_t i = 0;
      json_.array([&] { i < fields.size() ? field(e, i++) : fail(e, "has more than dtype, shape and data_offsets"); });
      if (i < fields.size()) fail(e, "lacks {}", fields[i]);
      return e;
    }
    if (json_.kind() != JsonReader::Kind::object) fail(e, "is not an object with dtype, shape and data_offsets");
    std::array<bool, fields.size()> seen{};
    json_.object([&](const std::string& name) {
      const std::size_t i = static_cast<std::size_t>(std::find(fields.begin(), fields.end(), name) - fields.begin());
      if (i == fields.size()) return json_.skip();
      if (std::exchange(seen[i], true)) fail(e, "has {} twice", name);
      field(e, i);
    }, longest_name);
    for (std::size_t i = 0; i < fields.size(); ++i)
      if (!seen[i]) fail(e, "lacks {}", fields[i]);
    return e;
  }

  void field(SafetensorsEntry& e, std::size_t i) {
    if (i == 0) return dtype(e);
    if (json_.kind() != JsonReader::Kind::array) fail(e, "has a {} that is not an array", fields[i]);
    if (i == 1) return shape(e);
    std::size_t count = 0;
    json_.array([&] {
      const std::uint64_t offset = number(e, "data_offsets");
      if (count < 2) (count == 0 ? e.begin : e.end) = offset;
      ++count;
    });
    if (count != 2) fail(e, "has {} data_offsets, expected 2", count);
  }

  // "F32"; the official library takes {"F32": null} as well.
  void dtype(SafetensorsEntry& e) {
    std::string name;
    if (json_.kind() == JsonReader::Kind::object) {
      int count = 0;
      json_.object([&](const std::string& key) {
        if (++count > 1 || json_.kind() != JsonReader::Kind::null) fail(e, "has a malformed dtype");
        name = key;
        json_.null();
      }, longest_name);
      if (count == 0) fail(e, "has a malformed dtype");
    } else if (json_.kind() == JsonReader::Kind::string) {
      name = json_.string(longest_name);
    } else {
      fail(e, "has a dtype that is not a string");
    }
    e.dtype = std::find_if(dtypes.begin(), dtypes.end(), [&](const SafetensorsDtype& known) { return name == known.name; });
    if (e.dtype == dtypes.end()) fail(e, "has {}", unknown_dtype(name));
  }

  static std::string unknown_dtype(const std::string& name) {
    std::vector<std::string> names;
    for (const SafetensorsDtype& known : dtypes) names.emplace_back(known.name);
    std::string upper = name;
    std::transform(upper.begin(), upper.end(), upper.begin(),
                   [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
    const std::string nearest = nearest_name(upper, names);
    return fmt::format("the unknown dtype '{}'{}", shown(name), nearest.empty() ? "" : "; did you mean " + nearest + "?");
  }

  void shape(SafetensorsEntry& e) {
    json_.array([&] {
      const std::uint64_t size = number(e, "shape");
      if (e.rank++ <= kernels::max_rank) e.shape.push_back(size);
      std::uint64_t product = 0;
      if (e.elements && __builtin_mul_overflow(*e.elements, size, &product)) e.elements.reset();
      if (e.elements) e.elements = product;
    });
  }

  std::uint64_t number(const SafetensorsEntry& e, const char* where) {
    if (json_.kind() == JsonReader::Kind::number)
      if (const auto n = json_.whole_number()) return *n;
    fail(e, "has a {} with something other than whole numbers from 0 to 2⁶⁴ − 1", where);
  }

  // Sorted by offset, the tensors cover the data: no hole, no overlap, no trailing byte.
  void check_layout() {
    std::vector<SafetensorsEntry>& entries = header_.entries;
    std::stable_sort(entries.begin(), entries.end(),
                     [](const auto& a, const auto& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
    std::uint64_t at = 0;
    for (const SafetensorsEntry& e : entries) {
      if (e.begin != at || e.end < e.begin)
        fail(e, "lies at bytes {} to {} of the data, expected it to begin at {}", e.begin, e.end, at);
      check_size(e);
      at = e.end;
    }
    if (at != data_size_) fail(fmt::format("its tensors take {} bytes, but {} bytes of data follow the header", at, data_size_));
  }

  void check_size(const SafetensorsEntry& e) const {
    std::uint64_t bits = 0;
    if (!e.elements || __builtin_mul_overflow(*e.elements, static_cast<std::uint64_t>(e.dtype->bits), &bits))
      fail(e, "of {} has more bits than 64 bits can count", describe(e));
    if (bits % 8 != 0) fail(e, "of {} takes {} bits, which are no whole bytes", describe(e), bits);
    if (bits / 8 != e.end - e.begin)
      fail(e, "of {} takes {} bytes, but its data_offsets span {}", describe(e), bits / 8, e.end - e.begin);
    if (e.end > data_size_) fail(e, "ends at byte {} of {} bytes of data", e.end, data_size_);
  }

  JsonReader json_;
  std::uint64_t data_size_;
  const std::string& file_;
  SafetensorsHeader header_;
  std::map<std::string, SafetensorsEntry> entries_;
  bool has_metadata_ = false;
};

}  // namespace

std::string shown(std::string_view key) {
  constexpr std::size_t longest = 80;
  if (key.size() <= longest) return std::string(key);
  std::size_t cut = longest;
  while ((static_cast<unsigned char>(key[cut]) & 0xC0) == 0x80) --cut;  // not inside a character
  return fmt::format("{}… ({} bytes)", key.substr(0, cut), key.size());
}

std::string describe(const SafetensorsEntry& e) {
  if (e.rank == 0) return fmt::format("{} scalar", e.dtype->name);
  const std::string more = e.rank > e.shape.size() ? fmt::format("×… (rank {})", e.rank) : "";
  return fmt::format("{} {}{}", e.dtype->name, fmt::join(e.shape, "×"), more);
}

SafetensorsHeader parse_safetensors_header(std::string_view json, std::uint64_t data_size, const std::string& name) {
  try {
    return HeaderParser(json, data_size, name).parse();
  } catch (const JsonError& error) {
    throw FileError(fmt::format("{} is no safetensors file: its header is not the JSON expected: {}", name, error.what()));
  }
}

}  // namespace mica
