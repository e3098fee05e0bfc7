// IDX files, the format of MNIST (docs/idx.md): a tensor of any rank, gzip-compressed or not.
//   bytes 0, 1: zero · byte 2: type · byte 3: rank · rank × u32 big-endian sizes · elements, big-endian, row-major
// Types: 0x08 u8, 0x09 i8, 0x0B i16, 0x0C i32, 0x0D f32, 0x0E f64; i8 and i16 become i32.
#pragma once

#include <mica/core/tensor.h>

#include <filesystem>
#include <string_view>

namespace mica {

// Throws FileError that names the file and what is wrong: not there, truncated, trailing bytes, wrong magic, corrupt gzip.
Tensor load_idx(const std::filesystem::path& path);
Tensor parse_idx(std::string_view bytes, const std::string& name);  // of uncompressed bytes; name: for errors

// The bytes themselves where they are not gzip. Throws FileError.
std::string gunzip(std::string_view bytes, const std::string& name);

}  // namespace mica
