// Elements of a safetensors file → elements of a Tensor.
#pragma once

#include <mica/core/dtype.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mica {

// The element type that holds every value of an official dtype ("BF16" → f32); nothing where there is none.
std::optional<DType> held_as(std::string_view dtype);

// Why there is none, and what to do: "Mica has no complex numbers; …".
std::string why_not_held(std::string_view dtype);

// Does memory hold the dtype's elements as the file does?
bool held_unchanged(std::string_view dtype);

// Converts count elements of a dtype that is held but changed; from has no alignment. The index of an element that does not
// fit (U64 above i64's largest), or -1.
std::int64_t convert_values(std::string_view dtype, const char* from, std::int64_t count, void* to);

}  // namespace mica
