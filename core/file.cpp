#include <mica/core/error.h>
#include <mica/core/file.h>

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace mica {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const char* what, const fs::path& path) {
  throw FileError(fmt::format("cannot {} {}: {}", what, path.string(), std::strerror(errno)));
}

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

// A file that is being written beside its target; removed unless it was renamed.
class ScratchFile {
 public:
  explicit ScratchFile(const fs::path& target)
      : target_(resolved(target)), name_(target_.string() + ".XXXXXX") {
    std::error_code ignored;  // what cannot be asked for cannot be made below, with the reason
    if (fs::exists(target_, ignored) && !fs::is_regular_file(target_, ignored))
      throw FileError(fmt::format("cannot write {}: it is a folder or a device; give a file's name", target.string()));
    if (!fs::exists(folder_of(target_), ignored) && !ignored)
      throw FileError(fmt::format("cannot write {}: the folder {} does not exist", target.string(), folder_of(target_).string()));
    descriptor_ = ::mkstemp(name_.data());
    if (descriptor_ < 0) fail("write", target);
  }
  ~ScratchFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!renamed_) ::unlink(name_.c_str());
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail("write", target_);
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
  }

  void rename_to_target() {
    const mode_t mask = ::umask(0);  // mkstemp's file is for the owner only; give it what an ordinary file gets
    ::umask(mask);
    if (::fchmod(descriptor_, 0666 & ~mask) != 0 || ::fsync(descriptor_) != 0) fail("write", target_);
    const int descriptor = descriptor_;
    descriptor_ = -1;
    if (::close(descriptor) != 0 || ::rename(name_.c_str(), target_.c_str()) != 0) fail("write", target_);
    renamed_ = true;
    // The rename itself reaches the disk with its folder.
    const int folder = ::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY);
    if (folder >= 0) {
      ::fsync(folder);
      ::close(folder);
    }
  }

 private:
  // A link stays, and what it points to is replaced.
  static fs::path resolved(const fs::path& target) {
    std::error_code error;
    const fs::path real = fs::is_symlink(target, error) ? fs::weakly_canonical(target, error) : target;
    return error ? target : real;
  }

  fs::path target_;
  std::string name_;
  int descriptor_ = -1;
  bool renamed_ = false;
};

}  // namespace

std::string read_file(const fs::path& path) {
  std::error_code ignored;  // what cannot be asked for fails to open below, with the reason
  if (fs::is_directory(path, ignored)) throw FileError(fmt::format("cannot read {}: it is a folder", path.string()));
  std::ifstream file(path, std::ios::binary);
  if (!file) fail("read", path);
  std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (file.bad()) fail("read", path);
  return bytes;
}

void write_file(const fs::path& path, const std::vector<std::string_view>& pieces) {
  ScratchFile scratch(path);
  for (const std::string_view piece : pieces) scratch.write(piece);
  scratch.rename_to_target();
}

void require_writable(const fs::path& path) { const ScratchFile scratch(path); }

}  // namespace mica
