#include <mica/core/error.h>
#include <mica/core/file.h>
#include <mica/data/idx.h>

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>

namespace mica {
namespace {

// Elements of type File, big-endian, as a tensor of type T.
template <class File, class T>
Tensor elements(std::string_view bytes, const Shape& shape) {
  std::vector<T> values(static_cast<std::size_t>(numel(shape)));
  for (std::size_t i = 0; i < values.size(); ++i) {
    char swapped[sizeof(File)] = {};
    std::reverse_copy(bytes.data() + i * sizeof(File), bytes.data() + (i + 1) * sizeof(File), swapped);
    File value;
    std::memcpy(&value, swapped, sizeof(File));
    values[i] = static_cast<T>(value);
  }
  return Tensor::from<T>(values, shape);
}

std::size_t element_size(unsigned type) {
  switch (type) {
    case 0x08: case 0x09: return 1;
    case 0x0B: return 2;
    case 0x0C: case 0x0D: return 4;
    case 0x0E: return 8;
    default: return 0;
  }
}

}  // namespace

std::string gunzip(std::string_view bytes, const std::string& name) {
  if (bytes.size() < 2 || bytes[0] != '\x1f' || bytes[1] != '\x8b') return std::string(bytes);
  z_stream stream{};
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  if (inflateInit2(&stream, 15 + 16) != Z_OK) throw FileError(fmt::format("cannot unpack {}: zlib does not start", name));
  std::string out;
  int status = Z_OK;
  while (status == Z_OK) {
    char chunk[1 << 16];
    stream.next_out = reinterpret_cast<Bytef*>(chunk);
    stream.avail_out = sizeof chunk;
    status = inflate(&stream, Z_NO_FLUSH);
    out.append(chunk, sizeof chunk - stream.avail_out);
    if (out.size() > (std::size_t{1} << 33)) break;  // 8 GiB: no data set of ours, but a bomb
    // gzip files may be several members one after the other
    if (status == Z_STREAM_END && stream.avail_in > 0 && inflateReset(&stream) == Z_OK) status = Z_OK;
  }
  const std::string reason = stream.msg ? stream.msg : "it ends too early";
  inflateEnd(&stream);
  if (status != Z_STREAM_END) throw FileError(fmt::format("{} is corrupt gzip: {}", name, reason));
  return out;
}

Tensor parse_idx(std::string_view bytes, const std::string& name) {
  const auto fail = [&](const std::string& what) { throw FileError(fmt::format("{} is no IDX file: {}", name, what)); };
  const auto byte = [&](std::size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(bytes[i])); };
  if (bytes.size() < 4) fail(fmt::format("it has {} bytes, expected at least 4", bytes.size()));
  const unsigned type = byte(2), rank = byte(3);
  if (byte(0) != 0 || byte(1) != 0 || element_size(type) == 0)
    fail(fmt::format("it begins with {:02x} {:02x} {:02x}, expected 00 00 and one of 08 09 0b 0c 0d 0e", byte(0), byte(1), type));
  if (rank > 8) fail(fmt::format("its rank is {}, expected at most 8", rank));
  if (bytes.size() < 4 + 4 * rank) fail(fmt::format("it has {} bytes, too few for {} sizes", bytes.size(), rank));
  Shape shape;
  std::uint64_t count = element_size(type);
  for (unsigned i = 0; i < rank; ++i) {
    const unsigned at = 4 + 4 * i;
    const std::uint64_t size = byte(at) << 24 | byte(at + 1) << 16 | byte(at + 2) << 8 | byte(at + 3);
    if (__builtin_mul_overflow(count, size, &count)) fail("its sizes multiply to more than any machine holds");
    shape.push_back(static_cast<std::int64_t>(size));
  }
  const std::string_view data = bytes.substr(4 + 4 * rank);
  if (data.size() != count)
    fail(fmt::format("its header (shape {}) promises {} bytes of elements, {} are there: it is {}", to_string(shape), count, data.size(),
                     data.size() < count ? "truncated" : "too long"));
  switch (type) {
    case 0x08: return elements<std::uint8_t, std::uint8_t>(data, shape);
    case 0x09: return elements<std::int8_t, std::int32_t>(data, shape);
    case 0x0B: return elements<std::int16_t, std::int32_t>(data, shape);
    case 0x0C: return elements<std::int32_t, std::int32_t>(data, shape);
    case 0x0D: return elements<float, float>(data, shape);
    default: return elements<double, double>(data, shape);
  }
}

Tensor load_idx(const std::filesystem::path& path) {
  return parse_idx(gunzip(read_file(path), path.string()), path.string());
}

}  // namespace mica
