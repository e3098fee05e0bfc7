// "Did you mean": the name among several that is nearest to one that is not there.
#pragma once

#include <string>
#include <vector>

namespace mica {

// By edit distance; empty where none is near (more than half of the letters differ).
std::string nearest_name(const std::string& name, const std::vector<std::string>& known);

}  // namespace mica
