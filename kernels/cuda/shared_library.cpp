#include <mica/kernels/cuda/shared_library.h>
#include <mica/kernels/error.h>

#include <dlfcn.h>
#include <link.h>

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

std::string SharedLibrary::why_incomplete(const std::vector<std::string>& parts) const {
  const link_map* map = nullptr;
  std::string folder;
  if (dlinfo(handle_, RTLD_DI_LINKMAP, &map) == 0) folder = map->l_name;
  folder.resize(folder.rfind('/') + 1);  // or empties it
  for (const std::string& part : parts)
    if (!dlopen((folder + part).c_str(), RTLD_LAZY | RTLD_LOCAL) && !dlopen(part.c_str(), RTLD_LAZY | RTLD_LOCAL)) return dlerror();
  return {};
}

void* SharedLibrary::find(const char* function) const {
  if (void* const found = handle_ ? dlsym(handle_, function) : nullptr) return found;
  throw CudaError(std::string(function) + " is not in " + (handle_ ? file_ : "a library that was loaded") + "; install a newer version of it");
}

}  // namespace mica::kernels
