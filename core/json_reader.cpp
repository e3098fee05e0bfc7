#include <mica/core/json_reader.h>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace mica {
namespace {

constexpr int deepest = 127;  // serde_json's limit on nested arrays and objects

// The first byte that is not UTF-8 by the Unicode standard's table 3-7 (no overlong form, no surrogate, at most U+10FFFF).
std::size_t first_invalid_utf8(std::string_view text) {
  const auto in = [&](std::size_t i, unsigned low, unsigned high) {
    return i < text.size() && static_cast<unsigned char>(text[i]) >= low && static_cast<unsigned char>(text[i]) <= high;
  };
  std::size_t i = 0;
  while (i < text.size()) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    std::size_t length = 1;
    if (c < 0x80) {
    } else if (c >= 0xC2 && c <= 0xDF) {
      length = 2;
      if (!in(i + 1, 0x80, 0xBF)) return i;
    } else if (c >= 0xE0 && c <= 0xEF) {
      length = 3;
      if (!in(i + 1, c == 0xE0 ? 0xA0 : 0x80, c == 0xED ? 0x9F : 0xBF) || !in(i + 2, 0x80, 0xBF)) return i;
    } else if (c >= 0xF0 && c <= 0xF4) {
      length = 4;
      if (!in(i + 1, c == 0xF0 ? 0x90 : 0x80, c == 0xF4 ? 0x8F : 0xBF) || !in(i + 2, 0x80, 0xBF) || !in(i + 3, 0x80, 0xBF))
        return i;
    } else {
      return i;
    }
    i += length;
  }
  return i;
}

void append_utf8(std::string& to, std::uint32_t c) {
  const auto put = [&](std::uint32_t byte) { to.push_back(static_cast<char>(byte)); };
  if (c < 0x80) return put(c);
  if (c < 0x800) return put(0xC0 | c >> 6), put(0x80 | (c & 63));
  if (c < 0x10000) return put(0xE0 | c >> 12), put(0x80 | (c >> 6 & 63)), put(0x80 | (c & 63));
  put(0xF0 | c >> 18), put(0x80 | (c >> 12 & 63)), put(0x80 | (c >> 6 & 63)), put(0x80 | (c & 63));
}

// significand · 10ᵉ as serde_json computes it: one rounded product, which near the largest double may be infinite where
// the exact value is not (1.7976931348623158e308). from_chars makes each power of ten as a compiler makes the literal.
bool is_finite(std::uint64_t significand, std::int64_t exponent) {
  if (significand == 0 || exponent < 0) return true;
  if (exponent > 308) return false;
  double power = 0;
  const std::string text = fmt::format("1e{}", exponent);
  std::from_chars(text.data(), text.data() + text.size(), power);
  return std::isfinite(static_cast<double>(significand) * power);
}

// How many bytes of text[from, to) make whole characters in at most longest bytes.
std::size_t whole_characters(std::string_view text, std::size_t from, std::size_t to, std::size_t longest) {
  if (to - from <= longest) return to - from;
  while ((static_cast<unsigned char>(text[from + longest]) & 0xC0) == 0x80) --longest;
  return longest;
}

// value := value · 10 + digit, unless that is more than limit.
bool append_digit(std::uint64_t& value, char digit, std::uint64_t limit) {
  const std::uint64_t d = static_cast<std::uint64_t>(digit - '0');
  if (value > limit / 10 || value * 10 > limit - d) return false;
  value = value * 10 + d;
  return true;
}

}  // namespace

// One level of nesting, while it lives.
class JsonReader::Nested {
 public:
  explicit Nested(JsonReader& reader) : reader_(reader) {
    if (++reader_.depth_ > deepest) reader_.fail(fmt::format("nested more than {} deep", deepest));
  }
  ~Nested() { --reader_.depth_; }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;

 private:
  JsonReader& reader_;
};

JsonReader::JsonReader(std::string_view text) : text_(text) {
  at_ = first_invalid_utf8(text_);
  if (at_ < text_.size()) fail("not UTF-8");
  at_ = 0;
}

void JsonReader::fail(const std::string& what) const { throw JsonError(fmt::format("byte {}: {}", at_, what)); }

void JsonReader::white_space() {
  at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size());
}

bool JsonReader::next_is(char c) {
  white_space();
  return at_ < text_.size() && text_[at_] == c;
}

bool JsonReader::take(char c) {
  if (!next_is(c)) return false;
  ++at_;
  return true;
}

void JsonReader::expect(char c, const char* what) {
  if (!take(c)) fail(fmt::format("expected {}", what));
}

bool JsonReader::digit() const { return at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; }

JsonReader::Kind JsonReader::kind() {
  white_space();
  switch (at_ < text_.size() ? text_[at_] : '\0') {
    case 'n': return Kind::null;
    case 't': case 'f': return Kind::boolean;
    case '"': return Kind::string;
    case '[': return Kind::array;
    case '{': return Kind::object;
    default: break;
  }
  if (!digit() && !next_is('-')) fail("expected a value");
  return Kind::number;
}

void JsonReader::word(std::string_view literal) {
  if (text_.substr(at_, literal.size()) != literal) fail(fmt::format("expected {}", literal));
  at_ += literal.size();
}

void JsonReader::null() {
  white_space();
  word("null");
}

// As serde_json's parse_integer and parse_decimal: a significand of 64 bits, and digits that no longer fit dropped, those
// before the point with a larger exponent.
std::optional<std::uint64_t> JsonReader::whole_number() {
  if (kind() != Kind::number) fail("expected a number");
  bool whole = text_[at_] != '-';
  if (!whole) ++at_;
  std::uint64_t significand = 0;
  std::int64_t exponent = 0;
  const std::size_t first = at_;
  for (; digit(); ++at_)
    if (exponent > 0 || !append_digit(significand, text_[at_], UINT64_MAX)) ++exponent, whole = false;
  if (at_ == first || (text_[first] == '0' && at_ > first + 1)) fail("expected a number without leading zeros");
  if (at_ < text_.size() && text_[at_] == '.') {
    const std::size_t point = at_++;
    for (; digit() && append_digit(significand, text_[at_], UINT64_MAX); ++at_) --exponent;
    while (digit()) ++at_;
    if (at_ == point + 1) fail("expected a digit after the point");
    whole = false;
  }
  if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
    exponent += power_of_ten();
    whole = false;
  }
  if (!is_finite(significand, exponent)) fail("a number out of range");
  return whole ? std::optional(significand) : std::nullopt;
}

// The "e-5" of a number.
std::int64_t JsonReader::power_of_ten() {
  ++at_;
  const bool negative = at_ < text_.size() && text_[at_] == '-';
  if (negative || (at_ < text_.size() && text_[at_] == '+')) ++at_;
  if (!digit()) fail("expected a digit of the exponent");
  std::uint64_t power = 0;
  for (; digit(); ++at_)
    if (!append_digit(power, text_[at_], INT32_MAX)) power = INT32_MAX;  // beyond any double with either sign
  return negative ? -static_cast<std::int64_t>(power) : static_cast<std::int64_t>(power);
}

std::string JsonReader::string(std::size_t longest) {
  if (kind() != Kind::string) fail("expected a string");
  std::string value;
  string_into(&value, longest);
  return value;
}

void JsonReader::string_into(std::string* to, std::size_t longest) {
  for (++at_;;) {
    const std::size_t from = at_;
    while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\' && static_cast<unsigned char>(text_[at_]) >= 0x20) ++at_;
    if (to && to->size() >= longest) to = nullptr;
    if (to) to->append(text_.substr(from, whole_characters(text_, from, at_, longest - to->size())));
    if (at_ == text_.size()) fail("the text ends inside a string");
    if (text_[at_] == '"') break;
    if (text_[at_] != '\\') fail("a control character inside a string");
    ++at_;
    escape(to);
  }
  ++at_;
}

void JsonReader::escape(std::string* to) {
  constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
  const char letter = at_ < text_.size() ? text_[at_] : '\0';
  if (const std::size_t i = letters.find(letter); i != std::string_view::npos) {
    ++at_;
    if (to) to->push_back(meanings[i]);
    return;
  }
  if (letter != 'u') fail("an unknown escape");
  ++at_;
  std::uint32_t c = hex4();
  if (c >= 0xD800 && c <= 0xDBFF) {  // the first of a pair of surrogates
    if (text_.substr(at_, 2) != "\\u") fail("a lone surrogate");
    at_ += 2;
    const std::uint32_t second = hex4();
    if (second < 0xDC00 || second > 0xDFFF) fail("a lone surrogate");
    c = 0x10000 + ((c - 0xD800) << 10) + (second - 0xDC00);
  } else if (c >= 0xDC00 && c <= 0xDFFF) {
    fail("a lone surrogate");
  }
  if (to) append_utf8(*to, c);
}

std::uint32_t JsonReader::hex4() {
  std::uint32_t value = 0;
  const char* const begin = text_.data() + at_;
  const char* const end = begin + std::min<std::size_t>(4, text_.size() - at_);
  if (end - begin < 4 || std::from_chars(begin, end, value, 16).ptr != end) fail("expected four hexadecimal digits");
  at_ += 4;
  return value;
}

void JsonReader::list(char close, const std::function<void()>& item) {
  const Nested nested(*this);
  ++at_;
  if (take(close)) return;
  do item();
  while (take(','));
  if (!take(close)) fail(fmt::format("expected ',' or '{}'", close));
}

void JsonReader::array(const std::function<void()>& element) {
  if (kind() != Kind::array) fail("expected an array");
  list(']', element);
}

void JsonReader::object(const std::function<void(const std::string&)>& member, std::size_t longest_key) {
  if (kind() != Kind::object) fail("expected an object");
  list('}', [&] {
    if (!next_is('"')) fail("expected a key");
    const std::string key = string(longest_key);
    expect(':', "':'");
    member(key);
  });
}

void JsonReader::skip() {
  switch (kind()) {
    case Kind::null: return word("null");
    case Kind::boolean: return word(next_is('t') ? "true" : "false");
    case Kind::number: whole_number(); return;
    case Kind::string: return string_into(nullptr, 0);
    case Kind::array: return list(']', [this] { skip(); });
    case Kind::object: return object([this](const std::string&) { skip(); }, 0);
  }
}

void JsonReader::end() {
  white_space();
  if (at_ < text_.size()) fail("expected the end");
}

}  // namespace mica
