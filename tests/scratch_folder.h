// A folder of a test's own, gone at its end: nothing of an earlier, aborted or parallel run can lie in it.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <stdlib.h>

namespace mica::test {

struct ScratchFolder {
  std::filesystem::path path;
  ScratchFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "mica-test-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("no scratch folder can be made as " + name);
    path = name;
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

}  // namespace mica::test
