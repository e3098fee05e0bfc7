// What Mica makes of many safetensors files in one: u64 length and bytes, again and again. For each one line of JSON:
//   {"error": "…"}, or {"metadata": {…}, "tensors": {"key": ["f32", [2, 3], crc32], "other": "why it cannot be held"}}
// The checksum is of the values in logical order; NaNs of converted elements count as one.
// usage: safetensors_verdict FILE
#include <mica/core/error.h>
#include <mica/core/file.h>
#include <mica/core/safetensors.h>

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>
#include <iostream>
#include <limits>

#include <zlib.h>

using namespace mica;
using nlohmann::json;

namespace {

json tensor_verdict(const SafetensorsFile& file, const SafetensorsEntry& entry) try {
  const Tensor t = file.tensor(entry), flat = t.numel() > 0 ? t.reshape({t.numel()}) : Tensor::empty({0}, t.dtype());
  if (t.dtype() == DType::f32 && std::strcmp(entry.dtype->name, "F32") != 0)
    for (float* x = flat.data<float>(); x < flat.data<float>() + flat.numel(); ++x)
      if (std::isnan(*x)) *x = std::numeric_limits<float>::quiet_NaN();
  const auto size = static_cast<uInt>(static_cast<std::size_t>(flat.numel()) * size_of(flat.dtype()));
  return {name_of(t.dtype()), t.shape(), crc32(0, static_cast<const Bytef*>(flat.raw_data()), size)};
} catch (const FileError& error) {
  return error.what();
}

json verdict(std::string_view bytes) try {
  const SafetensorsFile file(bytes, "w");
  json tensors = json::object();
  for (const SafetensorsEntry& entry : file.entries()) tensors[entry.key] = tensor_verdict(file, entry);
  return {{"metadata", file.metadata()}, {"tensors", tensors}};
} catch (const FileError& error) {
  return {{"error", error.what()}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::cerr << "usage: safetensors_verdict FILE\n", 2;
  const std::string all = read_file(argv[1]);
  std::uint64_t length = 0;
  for (std::size_t at = 0; at < all.size(); at += length) {
    std::memcpy(&length, all.data() + at, 8);
    at += 8;
    std::cout << verdict(std::string_view(all).substr(at, length)).dump() << '\n';
  }
}
