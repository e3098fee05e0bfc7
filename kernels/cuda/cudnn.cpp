#include <mica/kernels/cuda/by_cudnn.h>
#include <mica/kernels/dropout.h>

#ifndef MICA_CUDNN

namespace mica::kernels {

std::string why_no_cudnn() { return "this build was made where cuDNN's header was not found"; }
Cudnn* Cuda::cudnn() { return nullptr; }
bool by_cudnn(Cuda&, LibraryOp) { return false; }

#define MICA_FLOATING(T)                                                                    \
  template <>                                                                               \
  i64 dropout_reserve_bytes<T>(Cuda&, i64) {                                                \
    return 0;                                                                               \
  }                                                                                         \
  template <>                                                                               \
  bool dropout_by_cudnn(Cuda&, i64, const GeneratedDropout&, const T*, T*, std::uint8_t*) { \
    return false;                                                                           \
  }                                                                                         \
  template <>                                                                               \
  void dropout_backward_by_cudnn(Cuda&, i64, const GeneratedDropout&, const T*, T*, std::uint8_t*) {}
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels

#else

#include <mica/kernels/cuda/cudnn.h>

#include <fmt/format.h>

#include <algorithm>

namespace mica::kernels {
namespace {

std::mutex making;          // of handles
std::string not_for_device;  // why cuDNN does not take this device, where it said so

struct NotForDevice {};

#ifndef MICA_CUDA_EMULATED
// This build's version, whatever is installed as the default, and neighbours, to name what was found instead.
const SharedLibrary& load() {
  static const std::string wanted = fmt::format("libcudnn.so.{}", CUDNN_MAJOR), older = fmt::format("libcudnn.so.{}", CUDNN_MAJOR - 1),
                           newer = fmt::format("libcudnn.so.{}", CUDNN_MAJOR + 1);
  static const SharedLibrary library{wanted.c_str(), "libcudnn.so", newer.c_str(), older.c_str()};
  return library;
}

// What the functions of our version are in. Where one is missing, cuDNN ends the program, cudnnGetVersion too.
std::string why_incomplete() {
  static const std::string why = []() -> std::string {
    if (load().file() != fmt::format("libcudnn.so.{}", CUDNN_MAJOR)) return {};
    std::vector<std::string> parts;
    for (const char* part : {"graph", "ops", "cnn"}) parts.push_back(fmt::format("libcudnn_{}.so.{}", part, CUDNN_MAJOR));
    return load().why_incomplete(parts);
  }();
  return why;
}
#endif

// 91900 is 9.19.0; before version 9, 8902 was 8.9.2.
std::string why_not_version(std::size_t version) {
  const std::size_t unit = version < 10000 ? 1000 : 10000;
  if (version / unit == CUDNN_MAJOR) return {};
  return fmt::format("this build is made for cuDNN {}.{}, and cuDNN {}.{} is what was found; install version {}", CUDNN_MAJOR, CUDNN_MINOR,
                     version / unit, version % unit / 100, CUDNN_MAJOR);
}

std::string why_not() {
#ifndef MICA_CUDA_EMULATED
  if (!load().loaded()) return fmt::format("cuDNN was not found: {}", load().reason());
  if (!why_incomplete().empty()) return fmt::format("cuDNN is not whole: {}; install all of cuDNN {}", why_incomplete(), CUDNN_MAJOR);
#endif
  try {
    const std::string version = why_not_version(MICA_CUDNN_CALL(cudnnGetVersion)());
    return version.empty() ? not_for_device : version;
  } catch (const CudaError& error) {
    return std::string("cuDNN does not tell its version: ") + error.what();
  }
}

}  // namespace

#ifndef MICA_CUDA_EMULATED
const SharedLibrary& cudnn_library() { return load(); }
#endif

std::string why_no_cudnn() {
  const std::lock_guard lock(making);
  return why_not();
}

Cudnn* Cuda::cudnn() {
  const std::lock_guard lock(making);
  if (cudnn_ || !why_not().empty()) return cudnn_.get();
  try {
    cudnn_ = with_more_memory([&] { return std::make_shared<Cudnn>(stream_); });
  } catch (const NotForDevice&) {
    not_for_device = "cuDNN does not support this device";
  }
  return cudnn_.get();
}

bool by_cudnn(Cuda& cuda, LibraryOp op) { return cuda.settings().policy(op) == Policy::library && cuda.cudnn(); }

// ---- calls ----

void check(cudnnStatus_t status, const char* what, const char* file, int line) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  const cudaError_t cause = check_lost(what, file, line);
  char words[512] = "";
  MICA_CUDNN_CALL(cudnnGetLastErrorString)(words, sizeof words);
  const std::string text = fmt::format("{} failed: {} ({}){}{} ({}:{})", what, MICA_CUDNN_CALL(cudnnGetErrorString)(status),
                                       static_cast<int>(status), *words ? ", " : "", words, file, line);
  const bool refused = status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED || status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
  if (refused || cause == cudaErrorMemoryAllocation) throw OutOfMemory(text + "; use a smaller batch");
  throw CudaError(text);
}

bool supported(cudnnStatus_t status, const char* what, const char* file, int line) {
  if (CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED) return (void)cudaGetLastError(), false;
  check(status, what, file, line);
  return true;
}

bool started(cudnnStatus_t status, const char* what, const char* file, int line) {
  const bool done = supported(status, what, file, line);
  if (done) Cuda::launched(what);
  return done;
}

Cudnn::Cudnn(const Stream& stream) {
  if (!supported(MICA_CUDNN_CALL(cudnnCreate)(handle_.out()), "cudnnCreate")) throw NotForDevice{};
  check(MICA_CUDNN_CALL(cudnnSetStream)(handle(), stream.get()), "cudnnSetStream");
}

// ---- descriptors ----

bool cudnn_sizes(std::initializer_list<i64> sizes) {
  return std::ranges::all_of(sizes, [](i64 size) { return size >= 1 && size <= largest_window; });
}

bool cudnn_aligned(std::initializer_list<const void*> pointers) {
  return std::ranges::all_of(pointers, [](const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; });
}

TensorDescriptor::TensorDescriptor(cudnnDataType_t type, cudnnTensorFormat_t format, i64 n, i64 c, i64 h, i64 w) {
  check(MICA_CUDNN_CALL(cudnnSetTensor4dDescriptor)(*this, format, type, static_cast<int>(n), static_cast<int>(c), static_cast<int>(h),
                                                    static_cast<int>(w)),
        "cudnnSetTensor4dDescriptor");
}

FilterDescriptor::FilterDescriptor(cudnnDataType_t type, i64 o, i64 c, i64 kh, i64 kw) {
  check(MICA_CUDNN_CALL(cudnnSetFilter4dDescriptor)(*this, type, CUDNN_TENSOR_NHWC, static_cast<int>(o), static_cast<int>(c),
                                                    static_cast<int>(kh), static_cast<int>(kw)),
        "cudnnSetFilter4dDescriptor");
}

}  // namespace mica::kernels

#endif
