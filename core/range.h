// Checks of the values of a tensor of classes or indices, wherever it is.
#pragma once

#include <mica/core/tensor.h>

#include <functional>
#include <optional>

namespace mica {

// Throws Error(describe(position, value)) for the first value outside [0, size) that is not `allowed`. On CUDA the check is
// made on the device: the Error comes from the next copy to the host or synchronize() (or from the 4096th check since, which
// waits too), and until then kernels leave such values out.
void require_in_range(const Tensor& values, std::int64_t size, std::optional<std::int64_t> allowed,
                      const std::function<std::string(std::int64_t position, std::int64_t value)>& describe);

}  // namespace mica
