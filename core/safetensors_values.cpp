#include <mica/core/safetensors_values.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian; this machine is not");

namespace mica {
namespace {

// A small floating-point number: sign bit, exponent, mantissa. What its largest exponent and its -0 mean differs:
enum class Special {
  ieee,       // infinity and NaN, as in f32 (F16, F8_E5M2)
  one_nan,    // only all bits set is NaN, nothing is infinite (F8_E4M3, "fn")
  minus_zero  // only -0 is NaN, nothing is infinite (FNUZ)
};
struct Format { int exponent_bits, mantissa_bits, bias; Special special; };

constexpr Format f16{5, 10, 15, Special::ieee}, f8_e5m2{5, 2, 15, Special::ieee}, f8_e4m3{4, 3, 7, Special::one_nan},
    f8_e4m3fnuz{4, 3, 8, Special::minus_zero}, f8_e5m2fnuz{5, 2, 16, Special::minus_zero};

float decode(unsigned bits, const Format& f) {
  const unsigned all_set = (1U << (f.exponent_bits + f.mantissa_bits)) - 1, largest = (1U << f.exponent_bits) - 1;
  const unsigned sign = bits >> (f.exponent_bits + f.mantissa_bits), magnitude = bits & all_set;
  const unsigned exponent = magnitude >> f.mantissa_bits, mantissa = magnitude & ((1U << f.mantissa_bits) - 1);
  constexpr float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  if (f.special == Special::minus_zero && sign && magnitude == 0) return nan;
  if (f.special == Special::one_nan && magnitude == all_set) return nan;
  float value = 0;
  if (f.special == Special::ieee && exponent == largest) value = mantissa ? nan : infinity;
  else if (exponent == 0) value = std::ldexp(static_cast<float>(mantissa), 1 - f.bias - f.mantissa_bits);  // subnormal
  else value = std::ldexp(static_cast<float>(mantissa | 1U << f.mantissa_bits),
                          static_cast<int>(exponent) - f.bias - f.mantissa_bits);
  return sign ? -value : value;
}

float f8_e8m0(std::uint8_t bits) {  // a power of two, without sign
  return bits == 255 ? std::numeric_limits<float>::quiet_NaN() : std::ldexp(1.0F, bits - 127);
}

template <class From, class To, class F>
std::int64_t each(const char* from, std::int64_t count, void* to, F&& f) {
  for (std::int64_t i = 0; i < count; ++i) {
    From element;
    std::memcpy(&element, from + i * static_cast<std::int64_t>(sizeof(From)), sizeof(From));
    static_cast<To*>(to)[i] = f(element);
  }
  return -1;
}

template <class From, class To>
std::int64_t widen(const char* from, std::int64_t count, void* to) {
  return each<From, To>(from, count, to, [](From x) { return static_cast<To>(x); });
}

template <class From, const Format& format>
std::int64_t decode_each(const char* from, std::int64_t count, void* to) {
  return each<From, float>(from, count, to, [](From x) { return decode(x, format); });
}

std::int64_t u64_to_i64(const char* from, std::int64_t count, void* to) {
  widen<std::uint64_t, std::int64_t>(from, count, to);
  const std::int64_t *begin = static_cast<std::int64_t*>(to), *end = begin + count;
  const std::int64_t* wrapped = std::find_if(begin, end, [](std::int64_t x) { return x < 0; });
  return wrapped == end ? -1 : wrapped - begin;
}

struct Held {
  std::string_view dtype;
  DType as;
  std::int64_t (*convert)(const char*, std::int64_t, void*);  // null where nothing changes
};

constexpr std::array<Held, 18> table{{
    {"F32", DType::f32, nullptr},
    {"F64", DType::f64, nullptr},
    {"I64", DType::i64, nullptr},
    {"I32", DType::i32, nullptr},
    {"U8", DType::u8, nullptr},
    {"F16", DType::f32, decode_each<std::uint16_t, f16>},
    {"BF16", DType::f32, [](const char* from, std::int64_t n, void* to) {  // the upper half of an f32
       return each<std::uint16_t, float>(from, n, to, [](std::uint32_t x) { return std::bit_cast<float>(x << 16); });
     }},
    {"F8_E5M2", DType::f32, decode_each<std::uint8_t, f8_e5m2>},
    {"F8_E4M3", DType::f32, decode_each<std::uint8_t, f8_e4m3>},
    {"F8_E4M3FNUZ", DType::f32, decode_each<std::uint8_t, f8_e4m3fnuz>},
    {"F8_E5M2FNUZ", DType::f32, decode_each<std::uint8_t, f8_e5m2fnuz>},
    {"F8_E8M0", DType::f32, [](const char* from, std::int64_t n, void* to) {
       return each<std::uint8_t, float>(from, n, to, f8_e8m0);
     }},
    {"I8", DType::i32, widen<std::int8_t, std::int32_t>},
    {"I16", DType::i32, widen<std::int16_t, std::int32_t>},
    {"U16", DType::i32, widen<std::uint16_t, std::int32_t>},
    {"U32", DType::i64, widen<std::uint32_t, std::int64_t>},
    {"U64", DType::i64, u64_to_i64},
    {"BOOL", DType::u8, [](const char* from, std::int64_t n, void* to) {
       return each<std::uint8_t, std::uint8_t>(from, n, to, [](std::uint8_t x) { return static_cast<std::uint8_t>(x != 0); });
     }},
}};

const Held* find(std::string_view dtype) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const Held& held) { return held.dtype == dtype; });
  return found == table.end() ? nullptr : &*found;
}

}  // namespace

std::optional<DType> held_as(std::string_view dtype) {
  const Held* held = find(dtype);
  return held ? std::optional(held->as) : std::nullopt;
}

std::string why_not_held(std::string_view dtype) {
  return dtype == "C64" ? "Mica has no complex numbers; save real and imaginary parts as F32 (torch.view_as_real)"
                        : "Mica has no packed numbers below a byte; save them as F32";
}

bool held_unchanged(std::string_view dtype) {
  const Held* held = find(dtype);
  return held && !held->convert;
}

std::int64_t convert_values(std::string_view dtype, const char* from, std::int64_t count, void* to) {
  return find(dtype)->convert(from, count, to);
}

}  // namespace mica
