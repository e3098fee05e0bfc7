// Digits drawn by a procedure, in the shapes of MNIST, for machines where MNIST cannot be had. They are not MNIST, and
// nothing may report them as it.
#pragma once

#include <mica/data/image_set.h>

namespace mica {

// `count` images of 28×28: pen strokes under a random affine map, thickness and brightness. Image i of a name ("train",
// "test") is a function of name and i alone.
ImageSet draw_digits(std::int64_t count, const std::string& name);

}  // namespace mica
