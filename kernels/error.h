// The base of every exception that Mica throws. It lies at the bottom, because kernels throw too: CUDA calls that failed.
#pragma once

#include <stdexcept>
#include <string>

namespace mica {

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message);
  ~Error() override;

  const char* what() const noexcept override;

  // Puts a module's name in front: "conv3" and then "features" make "features.conv3: …".
  void prepend_path(const std::string& name);

 private:
  std::string text_;
  bool in_path_ = false;
};

class CudaError : public Error { using Error::Error; };    // a call of CUDA that failed: names call or kernel, place and reason
class OutOfMemory : public Error { using Error::Error; };  // names the request, and on tensors' memory what is in use
class DeviceLost : public Error { using Error::Error; };   // the process can use CUDA no more: names the first cause

}  // namespace mica
