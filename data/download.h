// Fetching files over HTTP(S), and their fingerprints.
#pragma once

#include <string>
#include <string_view>

namespace mica {

// The body at url. Throws FileError that names it: no network, no such file, or slower than 1 kB/s for 15 s.
std::string download(const std::string& url);

std::string sha256(std::string_view bytes);  // 64 hexadecimal digits

}  // namespace mica
