// A text as JSON has it: quoted and escaped, with what is not UTF-8 replaced. Defined in safetensors.cpp, since every file that uses the
// JSON library carries a copy of it.
#pragma once

#include <string>

namespace mica {

std::string json_string(const std::string& text);

}  // namespace mica
