#include "../catch.h"
#include "../compare.h"
#include "../project_file.h"
#include "../scratch_folder.h"

#include <mica/core/error.h>
#include <mica/core/file.h>
#include <mica/core/ops.h>
#include <mica/core/safetensors.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <tuple>

#include <malloc.h>
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

}  // namespace

TEST_CASE("weights come back as they were saved, in logical order") {
  const ScratchFolder folder;
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
  const auto of_a = [](const std::string& fields, const std::string& data = "1234") {
    return parse_error(file_of("{\"a\":{" + fields + "}}", data));
  };
  const std::string no = "w is no safetensors file: ", a = no + "tensor 'a' ";
  const std::string json = no + "its header is not the JSON expected: ", numbers = "something other than whole numbers from 0 to 2⁶⁴ − 1";
  CHECK(parse_error(file_of(good, "1234")).empty());
  CHECK(parse_error(file_of("{}", "")).empty());
  CHECK(parse_error("1234") == no + "it has 4 bytes, expected at least the 8 of the header's length");
  CHECK(parse_error(std::string("\xff\xff\xff\xff\xff\xff\xff\xff", 8)) ==
        no + "its header claims 18446744073709551615 bytes, expected at most 100000000");
  CHECK(parse_error(file_of(good, "1234").substr(0, 20)) == no + "its header claims 54 bytes, but only 12 follow");
  CHECK(parse_error(file_of(good, "12345")) == no + "its tensors take 4 bytes, but 5 bytes of data follow the header");
  CHECK(parse_error(file_of(good, "123")) == a + "ends at byte 4 of 3 bytes of data");
  CHECK(parse_error(file_of("{\"a\":" + entry + ",\"b\":" + entry + "}", "1234")) ==
        no + "tensor 'b' lies at bytes 0 to 4 of the data, expected it to begin at 4");

  CHECK(of_a(R"("shape":[1],"data_offsets":[0,4])") == a + "lacks dtype");
  CHECK(of_a(R"("dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4])") == a + "has shape twice");
  CHECK(of_a(R"("dtype":"f32","shape":[1],"data_offsets":[0,4])") == a + "has the unknown dtype 'f32'; did you mean F32?");
  CHECK(of_a(R"("dtype":"complex","shape":[1],"data_offsets":[0,4])") == a + "has the unknown dtype 'complex'");
  CHECK(of_a(R"("dtype":32,"shape":[1],"data_offsets":[0,4])") == a + "has a dtype that is not a string");
  CHECK(of_a(R"("dtype":"F32","shape":1,"data_offsets":[0,4])") == a + "has a shape that is not an array");
  CHECK(of_a(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])") == a + "has a shape with " + numbers);
  CHECK(of_a(R"("dtype":"F32","shape":[1],"data_offsets":[0,-0])") == a + "has a data_offsets with " + numbers);
  CHECK(of_a(R"("dtype":"F32","shape":[1],"data_offsets":[0,4,4])") == a + "has 3 data_offsets, expected 2");
  CHECK(of_a(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])") == a + "of F32 2 takes 8 bytes, but its data_offsets span 4");
  CHECK(of_a(R"("dtype":"F4","shape":[3],"data_offsets":[0,1])", "1") == a + "of F4 3 takes 12 bits, which are no whole bytes");
  CHECK(of_a(R"("dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4])") ==
        a + "of F32 4611686018427387904×4 has more bits than 64 bits can count");
  CHECK(parse_error(file_of(R"({"a":5})", "")) == a + "is not an object with dtype, shape and data_offsets");
  CHECK(parse_error(file_of(R"({"a":["F32",[1]]})", "1234")) == a + "lacks data_offsets");
  CHECK(parse_error(file_of("{\"" + std::string(79, 'k') + "é\":5}", "")) ==
        no + "tensor '" + std::string(79, 'k') + "… (81 bytes)' is not an object with dtype, shape and data_offsets");
  CHECK(parse_error(file_of(R"({"__metadata__":{"k":1}})", "")) == no + "__metadata__ 'k' is not a string");
  CHECK(parse_error(file_of(R"({"__metadata__":{},"__metadata__":{}})", "")) == no + "it has __metadata__ twice");

  CHECK(parse_error(file_of("[]", "")) == json + "byte 0: expected an object");
  CHECK(parse_error(file_of("\xEF\xBB\xBF{}", "")) == json + "byte 0: expected a value");
  CHECK(parse_error(file_of("{\"\xED\xA0\x80\":1}", "")) == json + "byte 2: not UTF-8");
  CHECK(parse_error(file_of("{\"a\":", "")) == json + "byte 5: expected a value");
  CHECK(parse_error(file_of(std::string("{}\0\0junk", 8), "")) == json + "byte 2: expected the end");
  CHECK(of_a(R"("x":1.7976931348623158e308)") == json + "byte 32: a number out of range");
  CHECK(of_a(R"("x":"\ud83d")") == json + "byte 17: a lone surrogate");
  const std::string deep(200000, '[');
  CHECK(of_a("\"x\":" + deep + std::string(200000, ']')) == json + "byte 135: nested more than 127 deep");
}

TEST_CASE("every mutated weight file is accepted or rejected as by the official library") {
  // Made by fuzz_safetensors.py --store.
  const Safetensors stored = load_safetensors(project_file("tests/pytorch/safetensors_verdicts.safetensors"));
  std::map<std::string, Tensor> of(stored.tensors.begin(), stored.tensors.end());
  const std::vector<std::int64_t> lengths = of["lengths"].to_vector<std::int64_t>();
  const std::vector<std::uint8_t> accepted = of["accepted"].to_vector<std::uint8_t>();
  const char* at = reinterpret_cast<const char*>(of["bytes"].data<std::uint8_t>());
  REQUIRE(lengths.size() >= 2000);
  for (std::size_t i = 0; i < lengths.size(); at += lengths[i++]) {
    const std::string bytes(at, static_cast<std::size_t>(lengths[i]));
    const std::string error = error_text<FileError>([&] { SafetensorsFile(bytes, "w"); });
    if (error.empty() != (accepted[i] == 1)) {
      INFO("file " << i << ", accepted officially: " << int{accepted[i]} << "; here: " << error << "\n" << bytes);
      CHECK(false);
    }
  }
}

TEST_CASE("element types that Mica lacks become ones that hold every value") {
  const auto one = [](const std::string& dtype, std::int64_t count, const std::string& data) {
    const std::string header = "{\"a\":{\"dtype\":\"" + dtype + "\",\"shape\":[" + std::to_string(count) + "],\"data_offsets\":[0," +
                               std::to_string(data.size()) + "]}}";
    return parse_safetensors(file_of(header, data), "w").tensors.at(0).second;
  };
  constexpr float infinity = std::numeric_limits<float>::infinity();
  CHECK(one("F16", 4, std::string("\x00\x3c\x01\x80\xff\x7b\x00\xfc", 8)).to_vector<float>() ==
        std::vector<float>{1, -0x1p-24F, 65504, -infinity});
  CHECK(one("BF16", 2, std::string("\x80\x3f\x80\xff", 4)).to_vector<float>() == std::vector<float>{1, -infinity});
  CHECK(one("F8_E5M2", 3, "\x3c\x01\x7c").to_vector<float>() == std::vector<float>{1, 0x1p-16F, infinity});
  CHECK(one("F8_E4M3", 3, "\x38\x01\xfe").to_vector<float>() == std::vector<float>{1, 0x1p-9F, -448});
  CHECK(one("F8_E4M3FNUZ", 2, "\x40\xff").to_vector<float>() == std::vector<float>{1, -240});
  CHECK(one("F8_E5M2FNUZ", 2, "\x40\xff").to_vector<float>() == std::vector<float>{1, -57344});
  CHECK(one("F8_E8M0", 3, std::string("\x00\x7f\xfe", 3)).to_vector<float>() == std::vector<float>{0x1p-127F, 1, 0x1p127F});
  for (const auto& [dtype, bits] : {std::pair("F8_E4M3", '\x7f'), {"F8_E4M3FNUZ", '\x80'}, {"F8_E5M2FNUZ", '\x80'},
                                    {"F8_E8M0", '\xff'}, {"F8_E5M2", '\x7d'}})
    CHECK(std::isnan(one(dtype, 1, std::string(1, bits)).item<float>()));
  CHECK(one("I8", 2, "\x80\x7f").to_vector<std::int32_t>() == std::vector<std::int32_t>{-128, 127});
  CHECK(one("I16", 1, std::string("\x00\x80", 2)).to_vector<std::int32_t>() == std::vector<std::int32_t>{-32768});
  CHECK(one("U16", 1, "\xff\xff").to_vector<std::int32_t>() == std::vector<std::int32_t>{65535});
  CHECK(one("U32", 1, "\xff\xff\xff\xff").to_vector<std::int64_t>() == std::vector<std::int64_t>{4294967295});
  CHECK(one("U64", 1, "\xff\xff\xff\xff\xff\xff\xff\x7f").to_vector<std::int64_t>() == std::vector<std::int64_t>{INT64_MAX});
  CHECK(one("BOOL", 3, std::string("\x00\x01\x05", 3)).to_vector<std::uint8_t>() == std::vector<std::uint8_t>{0, 1, 1});
  const Tensor long_one = one("I8", 200001, std::string(200000, '\x01') + "\xfe");  // in several pieces
  CHECK(sum(long_one.to(DType::f64)).item<double>() == 199998);
  CHECK(long_one.slice(200000, 200001).item<std::int32_t>() == -2);
}

TEST_CASE("what no tensor holds is an error when it is asked for, and the others are read") {
  const std::string header =
      R"({"fine":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},"c":{"dtype":"C64","shape":[1,1],"data_offsets":[4,12]},)"
      R"("packed":{"dtype":"F4","shape":[2],"data_offsets":[12,13]},)"
      R"("deep":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1],"data_offsets":[13,14]},)"
      R"("big":{"dtype":"U64","shape":[2],"data_offsets":[14,30]},)"
      R"("wide":{"dtype":"U8","shape":[0,18446744073709551615],"data_offsets":[30,30]}})";
  const std::string bytes = file_of(header, std::string("\7\0\0\0", 4) + std::string(25, '\0') + "\x80");
  const SafetensorsFile file(bytes, "w");
  CHECK(file.entries().size() == 6);
  CHECK(file.tensor("fine").to_vector<std::int32_t>() == std::vector<std::int32_t>{7});
  const auto error = [&](const char* key) { return error_text<FileError>([&] { file.tensor(key); }); };
  CHECK(error("c") == "w: tensor 'c' of C64 1×1 cannot be held: Mica has no complex numbers; "
                      "save real and imaginary parts as F32 (torch.view_as_real)");
  CHECK(error("packed") == "w: tensor 'packed' of F4 2 cannot be held: Mica has no packed numbers below a byte; save them as F32");
  CHECK(error("deep") == "w: tensor 'deep' of U8 1×1×1×1×1×1×1×1×1×… (rank 10) cannot be held: "
                         "Mica takes ranks of at most 8; reshape it before saving");
  CHECK(error("big") == "w: tensor 'big' of U64 2 cannot be held: "
                        "its element 1 is above 2⁶³ − 1, the largest i64; save it as F64, or without such values");
  CHECK(error("wide") == "w: tensor 'wide' of U8 0×18446744073709551615 cannot be held: "
                         "its sizes are too large; reshape it before saving");
  CHECK(error("fin") == "w has no tensor 'fin' among its 6; did you mean fine?");
  CHECK(parse_error(bytes) == error("c"));
}

TEST_CASE("odd headers that the official library takes") {
  const std::string entry = R"({"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  for (const std::string& header : {// of two, the last one counts
                                    R"({"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]},"a":)" + entry + "}",
                                    std::string(R"({"a":["U8",[1],[0,1]]})"), std::string(R"({"a":[{"U8":null},[1],[0,1]]})"),
                                    R"( {"__metadata__" : null , "\u0061" : )" + entry + "}\n"}) {
    const Safetensors read = parse_safetensors(file_of(header, "x"), "w");
    REQUIRE(read.tensors.size() == 1);
    CHECK(read.tensors[0].first == "a");
    CHECK(read.tensors[0].second.to_vector<std::uint8_t>() == std::vector<std::uint8_t>{'x'});
  }
  const Safetensors metadata = parse_safetensors(file_of(R"({"__metadata__":{"k":"1","k":"\ud83d\ude00\n"}})", ""), "w");
  CHECK(metadata.metadata == std::map<std::string, std::string>{{"k", "😀\n"}});
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they keep freed memory
namespace {

std::int64_t kilobytes(const std::string& field) {  // of /proc/self/status
  std::ifstream status("/proc/self/status");
  for (std::string name; status >> name;)
    if (std::int64_t value = 0; name == field + ":" && status >> value) return value;
  return -1;
}

}  // namespace

TEST_CASE("a hostile header of 50 MB takes no more memory than itself") {
  constexpr std::size_t size = 50'000'000;
  const auto repeated = [](const std::string& piece) {
    std::string text;
    text.reserve(size + piece.size());
    while (text.size() < size) text += piece;
    return text;
  };
  const std::string fields = R"("dtype":"U8","shape":[1],"data_offsets":[0,1])";
  const std::string nested = std::string(60, '[') + std::string(60, ']') + ",";
  const ScratchFolder folder;
  for (const auto& [what, before, piece, after] :
       {std::tuple("nested arrays", "{\"a\":{" + fields + ",\"x\":[", nested, std::string("0]}}")),
        std::tuple("objects", "{\"a\":{" + fields + ",\"x\":[", std::string("{\"k\":{}},"), std::string("0]}}")),
        std::tuple("a long string", "{\"a\":{" + fields + ",\"x\":\"", std::string("xxxxxxxx"), std::string("\"}}")),
        std::tuple("a long field", "{\"a\":{" + fields + ",\"", std::string("xxxx\\n"), std::string("\":0}}")),
        std::tuple("a long number", "{\"a\":{" + fields + ",\"x\":0.", std::string("00000000"), std::string("}}")),
        std::tuple("a long dtype", std::string("{\"a\":{\"dtype\":\""), std::string("U8"), std::string("\"}}")),
        std::tuple("a long shape", std::string("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1],\"shape\":["), std::string("1,"),
                   std::string("1]}}")),
        std::tuple("a tensor again and again", std::string("{"), "\"a\":{" + fields + "},", "\"a\":{" + fields + "}}")}) {
    INFO(what);
    std::ofstream(folder.path / "hostile", std::ios::binary) << file_of(before + repeated(piece) + after, "x");
    ::malloc_trim(0);
    std::ofstream("/proc/self/clear_refs") << 5;  // the peak begins anew
    const std::int64_t start = kilobytes("VmHWM");
    REQUIRE(start == Approx(kilobytes("VmRSS")).epsilon(0.1));
    error_text<FileError>([&] { SafetensorsFile(folder.path / "hostile"); });
    CHECK(kilobytes("VmHWM") - start < 51'000);  // kB: 48,828 of the header and 2,172
  }
}
#endif

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
  const ScratchFolder folder;
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
