// A shared library that is loaded when it is first needed, so that programs start, and work, where it is missing.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

// MICA_LIBRARY_CALL(library, cudnnCreate)(&handle): its function of this name, looked up once. The emulated build has functions of its
// own (tests/emulator).
#ifdef MICA_CUDA_EMULATED
#define MICA_LIBRARY_CALL(library, function) (::function)
#else
#define MICA_LIBRARY_CALL(library, function)                                                                \
  ([] {                                                                                                     \
    static const auto loaded_##function = reinterpret_cast<decltype(&::function)>(library.find(#function)); \
    return loaded_##function;                                                                               \
  }())
#endif

namespace mica::kernels {

class SharedLibrary {
 public:
  // The first of these files that the system's loader finds. It stays loaded until the program ends.
  explicit SharedLibrary(std::initializer_list<const char*> files);

  bool loaded() const { return handle_; }
  const std::string& file() const { return file_; }  // which of them it is
  const std::string& reason() const { return reason_; }  // the loader's words about the first file, where none was loaded

  // Empty where these files too can be loaded, from its folder or from where the system's loader looks; otherwise the loader's words.
  std::string why_incomplete(const std::vector<std::string>& parts) const;

  // Where a function lies; throws CudaError where the library has none of this name.
  void* find(const char* function) const;

 private:
  void* handle_ = nullptr;
  std::string file_, reason_;
};

}  // namespace mica::kernels
