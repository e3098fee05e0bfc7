// The header of a safetensors file: what it says of each tensor, checked, before a byte of data is read or allocated.
//   {"key": {"dtype": "F32", "shape": [16, 1, 3, 3], "data_offsets": [0, 576]}, …, "__metadata__": {"k": "v"}}
// Accepted exactly where the official library (0.8.0) accepts it; tests/pytorch/fuzz_safetensors.py compares the two.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mica {

struct SafetensorsDtype {
  const char* name;  // "F32"; case matters
  int bits;          // of one element
};

struct SafetensorsEntry {
  std::string key;
  const SafetensorsDtype* dtype = nullptr;    // one of the official ones, whether a Tensor can hold it or not
  std::vector<std::uint64_t> shape;           // of a rank above max_rank only the first max_rank + 1 sizes
  std::uint64_t rank = 0;
  std::optional<std::uint64_t> elements = 1;  // their product; nothing where it overflows
  std::uint64_t begin = 0, end = 0;           // bytes of the data
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // by their offsets
  std::map<std::string, std::string> metadata;
};

// json: the header; data_size: how many bytes of the file follow it. Takes memory for the tensors that the header
// describes and for nothing else in it. Throws FileError that begins with name, the file's.
SafetensorsHeader parse_safetensors_header(std::string_view json, std::uint64_t data_size, const std::string& name);

// "F32 2×3", and of a long shape its beginning and the rank.
std::string describe(const SafetensorsEntry& entry);

// A key as errors show it: long ones shortened.
std::string shown(std::string_view key);

}  // namespace mica
