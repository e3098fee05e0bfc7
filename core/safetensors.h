// Weight files in the safetensors format, as PyTorch's users read and write them (docs/checkpoints.md).
//   u64 little-endian N · N bytes of JSON (core/safetensors_header.h) · data
// Values are in logical order. A file is accepted exactly where the official library accepts it. A tensor of an element type
// that Mica lacks is converted to one that holds every value:
//   F16, BF16, F8_* → f32    I8, I16, U16 → i32    U32 → i64    U64 → i64 where its values fit    BOOL → u8 of 0 and 1
// What no Tensor holds is an error that names it, when it is asked for: complex and packed 4- and 6-bit numbers, ranks
// above 8, larger values of U64. The file's other tensors can be read all the same.
#pragma once

#include <mica/core/safetensors_header.h>
#include <mica/core/tensor.h>

#include <filesystem>
#include <functional>
#include <map>
#include <utility>
#include <vector>

namespace mica {

// An open file: its header is read and checked, and tensors are read when they are asked for, straight from the disk;
// by one thread at a time.
// All throw FileError that names the file and, where it is about one, the tensor.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  SafetensorsFile(std::string_view bytes, const std::string& name);  // in memory, kept by the caller; name: for errors

  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  const std::vector<SafetensorsEntry>& entries() const { return header_.entries; }  // by their place in the data
  Tensor tensor(std::string_view key) const;
  Tensor tensor(const SafetensorsEntry& entry) const;  // one of entries()

 private:
  using Read = std::function<void(std::uint64_t at, std::size_t size, char* to)>;
  void read_header(std::uint64_t file_size);
  std::int64_t convert(const SafetensorsEntry& entry, Tensor& flat) const;

  std::string name_;
  Read read_;
  SafetensorsHeader header_;
  std::uint64_t data_ = 0;  // where it begins
};

struct Safetensors {
  std::vector<std::pair<std::string, Tensor>> tensors;  // by their place in the file
  std::map<std::string, std::string> metadata;
};

// Everything in a file.
Safetensors load_safetensors(const std::filesystem::path& path);
Safetensors parse_safetensors(std::string_view bytes, const std::string& name);  // of a file in memory; name: for errors

// Replaces path whole, in the given order, with tensors of any device; a half-written file is never seen. Throws FileError.
void save_safetensors(const std::filesystem::path& path, const Safetensors& content);

}  // namespace mica
