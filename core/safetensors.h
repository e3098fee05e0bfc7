// Weight files in the safetensors format, as PyTorch's users read and write them (docs/checkpoints.md).
//   u64 little-endian N · N bytes of JSON · data
// JSON: {"key": {"dtype": "F32", "shape": [16, 1, 3, 3], "data_offsets": [0, 576]}, …, "__metadata__": {"k": "v"}}.
// Values are in logical order. What is accepted is what the official library accepts: entries sorted by offset cover the
// data exactly, without hole or overlap. Narrower than it in two ways: dtypes are F32, F64, I64, I32 and U8, and ranks at most 8.
#pragma once

#include <mica/core/tensor.h>

#include <filesystem>
#include <map>
#include <utility>
#include <vector>

namespace mica {

struct Safetensors {
  std::vector<std::pair<std::string, Tensor>> tensors;  // in the file's order
  std::map<std::string, std::string> metadata;
};

// Throws FileError that names the file and, where it is about one, the tensor.
Safetensors load_safetensors(const std::filesystem::path& path);
Safetensors parse_safetensors(std::string_view bytes, const std::string& name);  // of a file in memory; name: for errors

// Replaces path whole, in the given order; a half-written file is never seen. Throws FileError.
void save_safetensors(const std::filesystem::path& path, const Safetensors& content);

}  // namespace mica
