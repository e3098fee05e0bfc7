// Files that tests compare with, by their place in the source tree. $MICA_SOURCE is a folder that stands for it, where the tests
// run on another machine (tests/hardware).
#pragma once

#include <cstdlib>
#include <string>

namespace mica::test {

inline std::string project_file(const std::string& path) {
  const char* const moved = std::getenv("MICA_SOURCE");
  return (moved ? moved : MICA_SOURCE) + ("/" + path);
}

}  // namespace mica::test
