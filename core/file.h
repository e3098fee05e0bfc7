// Whole files, with errors that name them and writes that never leave a half-written or lost file.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace mica {

std::string read_file(const std::filesystem::path& path);  // throws FileError

// Replaces path by the pieces, one after the other: written to a scratch file beside it, flushed to the disk, renamed.
// On an error, path is as it was, the scratch file is gone, and FileError says why.
void write_file(const std::filesystem::path& path, const std::vector<std::string_view>& pieces);

// Throws the FileError that write_file would for a folder that is missing or cannot be written, without changing path:
// so that a program learns it before hours of work and not after.
void require_writable(const std::filesystem::path& path);

}  // namespace mica
