// Element types. f64 exists so that gradient checks are sharp; f32 is what networks train in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace mica {

enum class DType : std::uint8_t { f32, f64, i64, i32, u8 };

std::size_t size_of(DType dtype);  // bytes of one element
const char* name_of(DType dtype);  // "f32", …
inline bool is_floating(DType dtype) { return dtype == DType::f32 || dtype == DType::f64; }

// dtype_of<float> == DType::f32, …
template <class T> inline constexpr DType dtype_of = T::not_an_element_type_of_mica;
template <> inline constexpr DType dtype_of<float> = DType::f32;
template <> inline constexpr DType dtype_of<double> = DType::f64;
template <> inline constexpr DType dtype_of<std::int64_t> = DType::i64;
template <> inline constexpr DType dtype_of<std::int32_t> = DType::i32;
template <> inline constexpr DType dtype_of<std::uint8_t> = DType::u8;

}  // namespace mica
