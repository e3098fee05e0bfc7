// Finding MNIST: 60,000 training and 10,000 test images of handwritten digits, 28×28.
#pragma once

#include <mica/data/image_set.h>

#include <filesystem>
#include <string>

namespace mica {

struct Digits {
  ImageSet train, test;
  bool is_mnist = false;    // by the SHA-256 of all four files
  std::string description;  // one line that says what this is and where it is from
};

// A folder that is given must have the files: anything wrong with them is a FileError. With none, they are looked for in
// $MICA_DATA and in the cache folder ($XDG_CACHE_HOME/mica/mnist or ~/.cache/mica/mnist), then downloaded there from the
// mirrors ($MICA_MIRROR instead of the public ones, where it is set) and checked; where that fails, digits are drawn.
Digits load_mnist(const std::filesystem::path& folder = {});

}  // namespace mica
