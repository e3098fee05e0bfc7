// A table of a network's layers, as torchinfo and torchsummary print it.
#pragma once

#include <mica/layers/module.h>

#include <cstdint>
#include <string>

namespace mica {

// Layer, output shape and parameters of every module that runs, then totals, multiplications with additions, and sizes
// in MB of 10⁶ bytes. Runs the network once in evaluation mode on zeros of `input` (with the batch as its first size); a
// shared parameter counts once.
std::string summary(Module& network, const Shape& input);

std::string grouped(std::int64_t value);  // "19,866", as in its columns; value 0 or more

}  // namespace mica
