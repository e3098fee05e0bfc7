#include "../catch.h"
#include "../compare.h"

#include <mica/core/error.h>
#include <mica/core/file.h>
#include <mica/core/safetensors.h>

#include <cstring>
#include <filesystem>

#include <unistd.h>

using namespace mica;
using namespace mica::test;
namespace fs = std::filesystem;

namespace {

std::string file_of(const std::string& header, const std::string& data) {
  const std::uint64_t n = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &n, 8);
  return bytes + header + data;
}

std::string parse_error(const std::string& bytes) {
  return error_text<FileError>([&] { parse_safetensors(bytes, "w"); });
}

struct Folder {  // gone at the end of a test
  fs::path path = fs::temp_directory_path() / ("mica-test-" + std::to_string(::getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
};

}  // namespace

TEST_CASE("weights come back as they were saved, in logical order") {
  const Folder folder;
  const Safetensors saved{{{"b", Tensor::from<double>({1, 2, 3, 4, 5, 6, 7, 8}, {1, 2, 2, 2})},
                           {"a", Tensor::full({}, 7, DType::i64)},
                           {"none", Tensor::zeros({0, 3})},
                           {"u", Tensor::full({3}, 200, DType::u8)}},
                          {{"format", "pt"}}};
  save_safetensors(folder.path / "w.safetensors", saved);
  const Safetensors loaded = load_safetensors(folder.path / "w.safetensors");
  CHECK(loaded.metadata == saved.metadata);
  REQUIRE(loaded.tensors.size() == 4);
  for (std::size_t i = 0; i < 4; ++i)
    for (const auto& [key, tensor] : loaded.tensors)
      if (key == saved.tensors[i].first) CHECK(same_bits(tensor, saved.tensors[i].second));
  const std::string bytes = read_file(folder.path / "w.safetensors");
  CHECK(bytes.find("\"b\"") < bytes.find("\"a\""));  // definition order
  const double first[] = {1, 2, 3};
  CHECK(bytes.find(std::string(reinterpret_cast<const char*>(first), sizeof first)) != std::string::npos);
}

TEST_CASE("malformed weight files are rejected with the reason") {
  const std::string entry = R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  const std::string good = "{\"a\":" + entry + "}";
  CHECK(parse_error(file_of(good, "1234")).empty());
  CHECK(parse_error(file_of("{}", "")).empty());
  CHECK(parse_error("1234") == "w is no safetensors file: it has 4 bytes, expected at least the 8 of the header's length");
  CHECK(parse_error(std::string("\xff\xff\xff\xff\xff\xff\xff\xff", 8)) ==
        "w is no safetensors file: its header claims 18446744073709551615 bytes, expected at most 100000000");
  CHECK(parse_error(file_of(good, "1234").substr(0, 20)) == "w is no safetensors file: its header claims 54 bytes, but only 12 follow");
  CHECK(parse_error(file_of(good, "12345")) == "w is no safetensors file: its tensors take 4 bytes, but 5 bytes of data follow the header");
  CHECK(parse_error(file_of(good, "123")) == "w is no safetensors file: tensor 'a' ends at byte 4 of 3 bytes of data");
  CHECK(parse_error(file_of("{\"a\":" + entry + ",\"a\":" + entry + "}", "1234")) == "w is no safetensors file: its header has 'a' twice");
  CHECK(parse_error(file_of("{\"a\":" + entry + ",\"b\":" + entry + "}", "1234")) ==
        "w is no safetensors file: tensor 'b' lies at bytes 0 to 4 of the data, expected it to begin at 4");
  CHECK(parse_error(file_of(R"({"a":{"dtype":"f32","shape":[1],"data_offsets":[0,4]}})", "1234")) ==
        "w is no safetensors file: tensor 'a' has dtype \"f32\", expected F32, F64, I64, I32 or U8");
  CHECK(parse_error(file_of(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "1234")) ==
        "w is no safetensors file: tensor 'a' has -1 where a whole number of 0 or more belongs");
  CHECK(parse_error(file_of(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}})", "1234")) ==
        "w is no safetensors file: tensor 'a' of shape 4611686018427387904×4 overflows");
  CHECK(parse_error(file_of(R"({"__metadata__":{"k":1}})", "")) == "w is no safetensors file: __metadata__ 'k' is not a string");
  CHECK(!parse_error(file_of("\xEF\xBB\xBF{}", "")).empty());
  CHECK(!parse_error(file_of("{\"a\":", "")).empty());
  CHECK(!parse_error(file_of("[]", "")).empty());
  CHECK(parse_error(file_of(std::string("{}\0\0junk", 8), "")) == "w is no safetensors file: its header has a NUL byte");
  const std::string deep(200000, '[');
  CHECK(parse_error(file_of("{\"a\":{\"dtype\":\"F32\",\"shape\":" + deep + std::string(200000, ']') + ",\"data_offsets\":[0,4]}}", "1234")) ==
        "w is no safetensors file: its header is nested more than 127 deep");
  CHECK(parse_error(file_of(R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", "1")) ==
        "w is no safetensors file: tensor 'a' has rank 9, more than the 8 that Mica takes");
}

TEST_CASE("every truncation and every flipped byte of a weight file is rejected or read, and never crashes") {
  const std::string good = file_of(R"({"a":{"dtype":"F64","shape":[1,2],"data_offsets":[0,16]},"b":{"dtype":"U8","shape":[],"data_offsets":[16,17]}})",
                                   std::string(17, 'x'));
  for (std::size_t length = 0; length < good.size(); ++length) CHECK(!parse_error(good.substr(0, length)).empty());
  for (std::size_t i = 0; i < good.size() - 17; ++i)
    for (const int flip : {1, 4, 32, 128}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ flip);
      parse_error(bad);  // a FileError or none; anything else fails the test
    }
}

TEST_CASE("a save that fails leaves the old file and no scratch file") {
  const Folder folder;
  write_file(folder.path / "w", {"old"});
  CHECK(error_text<FileError>([&] { write_file(folder.path / "no" / "w", {"x"}); }) ==
        "cannot write " + (folder.path / "no" / "w").string() + ": the folder " + (folder.path / "no").string() + " does not exist");
  CHECK(error_text<FileError>([&] { write_file(folder.path, {"x"}); }) ==
        "cannot write " + folder.path.string() + ": it is a folder or a device; give a file's name");
  require_writable(folder.path / "w");
  CHECK(read_file(folder.path / "w") == "old");
  fs::create_symlink(folder.path / "w", folder.path / "link");
  write_file(folder.path / "link", {"new"});
  CHECK(fs::is_symlink(folder.path / "link"));
  CHECK(read_file(folder.path / "w") == "new");
  CHECK(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()) == 2);
}
