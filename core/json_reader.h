// Reads JSON from front to back, a value at a time: no tree is built, and what is skipped takes no memory.
//   JsonReader json(R"({"shape": [2, 3], "more": [[]]})");
//   json.object([&](const std::string& key) {
//     if (key == "shape") json.array([&] { sizes.push_back(json.whole_number()); });
//     else json.skip();
//   });
//   json.end();
// Accepts what Rust's serde_json accepts, which the official safetensors reader is built on: RFC 8259 in valid UTF-8 without
// a byte-order mark, lone surrogates or NUL padding, nested at most 127 deep, no number beyond a double's range.
#pragma once

#include <mica/core/error.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace mica {

class JsonError : public Error { using Error::Error; };  // "byte 12: expected a value"

class JsonReader {
 public:
  enum class Kind { null, boolean, number, string, array, object };

  explicit JsonReader(std::string_view text);  // kept by the caller while the reader lives; throws where it is not UTF-8

  // Each of these reads the value that comes next and throws JsonError where it is of another kind.
  Kind kind();  // of that value, without reading it
  void null();
  std::optional<std::uint64_t> whole_number();  // nothing for one with a sign, a fraction or an exponent, or above 2⁶⁴ − 1
  std::string string(std::size_t longest = std::string::npos);  // cut after about that many bytes
  void array(const std::function<void()>& element);             // element() reads one
  void object(const std::function<void(const std::string& key)>& member,  // member() reads the value; keys may come twice
              std::size_t longest_key = std::string::npos);
  void skip();  // a value of any kind
  void end();   // throws unless nothing but white space is left

 private:
  class Nested;
  [[noreturn]] void fail(const std::string& what) const;
  void white_space();
  bool next_is(char c);          // after white space; reads nothing
  bool take(char c);             // after white space
  void expect(char c, const char* what);
  void word(std::string_view literal);
  bool digit() const;
  std::int64_t power_of_ten();
  void list(char close, const std::function<void()>& item);  // items with commas between, and the closing bracket
  void string_into(std::string* to, std::size_t longest);    // to: null where the string is skipped
  void escape(std::string* to);
  std::uint32_t hex4();

  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace mica
