// Answers of CUDA's libraries that need no GPU, those of the real ones stored in tests/emulator_test, after a line with the version that
// gave them. The emulated libraries must give the same, and so must those that a machine has. MICA_STORE_ANSWERS=1 stores them anew.
#pragma once

#include "../catch.h"
#include "../project_file.h"

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace mica::test {

inline void check_answers(const std::string& file, const std::string& version, const std::string& answers) {
  const std::string path = project_file("tests/emulator_test/" + file);
  if (std::getenv("MICA_STORE_ANSWERS")) std::ofstream(path) << version << "\n" << answers;
  std::ifstream stored(path);
  std::istringstream have(answers);
  std::string giver, line, expected;
  std::getline(stored, giver);
  for (int number = 2; static_cast<bool>(std::getline(have, line)) | static_cast<bool>(std::getline(stored, expected)); ++number) {
    INFO(file << ":" << number << ", stored from " << giver << "; this is " << version);
    CHECK(line == expected);
    line.clear(), expected.clear();
  }
}

}  // namespace mica::test
