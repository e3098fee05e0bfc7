#include <mica/kernels/error.h>

namespace mica {

Error::Error(const std::string& message) : std::runtime_error(message), text_(message) {}
Error::~Error() = default;

const char* Error::what() const noexcept { return text_.c_str(); }

void Error::prepend_path(const std::string& name) {
  text_ = name + (in_path_ ? "." : ": ") + text_;
  in_path_ = true;
}

}  // namespace mica
