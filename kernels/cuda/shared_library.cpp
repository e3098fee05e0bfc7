#include <mica/kernels/cuda/shared_library.h>
#include <mica/kernels/error.h>

#include <dlfcn.h>

namespace mica::kernels {

SharedLibrary::SharedLibrary(std::initializer_list<const char*> files) {
  for (const char* file : files) {
    handle_ = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (handle_) {
      file_ = file;
      return;
    }
    if (reason_.empty()) reason_ = dlerror();
  }
}

void* SharedLibrary::find(const char* function) const {
  if (void* const found = handle_ ? dlsym(handle_, function) : nullptr) return found;
  throw CudaError(std::string(function) + " is not in " + (handle_ ? file_ : "a library that was loaded") + "; install a newer version of it");
}

}  // namespace mica::kernels
