// The emulated cuDNN: handles and descriptors.
#include "cudnn.h"
#include "cudnn_fake.h"
#include "report.h"
#include "runtime.h"

#include <algorithm>
#include <set>

namespace emulator {
namespace {

std::map<std::string, long> calls_of;
std::size_t version = 0;
int failing = 0;  // calls until then; 0: none
cudnnStatus_t failure = CUDNN_STATUS_SUCCESS;
thread_local std::string last_error;

}  // namespace

long cudnn_calls(const char* function) {
  const std::lock_guard lock(runtime().mutex);
  return calls_of[function];
}
void set_cudnn_version(std::size_t answer) { version = answer; }
void fail_cudnn(int nth, int status) { failing = nth, failure = static_cast<cudnnStatus_t>(status); }

namespace cudnn {

cudnnStatus_t enter(const char* function) {
  const std::lock_guard lock(runtime().mutex);
  const cudaError_t asked = library_call();
  const bool answered = failing && --failing == 0;
  if (asked || answered) {
    last_error = std::string(function) + ": a failure that was asked for";
    return answered                               ? failure
           : asked == cudaErrorMemoryAllocation ? CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED
                                                  : CUDNN_STATUS_INTERNAL_ERROR;
  }
  ++calls_of[function];
  return ok;
}

cudnnStatus_t refuse(const char* function, const char* condition, cudnnStatus_t status) {
  last_error = std::string(function) + ": not (" + condition + ")";
  const std::lock_guard lock(runtime().mutex);
  --calls_of[function];
  if (CUDNN_STATUS_CATEGORY(status) != CUDNN_STATUS_NOT_SUPPORTED) report("%s", last_error.c_str());
  return status;
}

cudnnStatus_t run(cudnnHandle_t handle, const char* name, std::vector<Buffer> buffers, std::function<void()> work) {
  for (const Buffer& buffer : buffers)
    if (reinterpret_cast<std::uintptr_t>(buffer.p) % 16) return refuse(name, "pointers to 16 bytes", CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER);
  const cudaError_t error = enqueue_by_library(handle->stream, name, std::move(buffers), std::move(work));
  if (error) last_error = std::string(name) + ": " + cudaGetErrorName(error);
  return error ? CUDNN_STATUS_EXECUTION_FAILED_CUDART : ok;
}

namespace {

// All live objects, never destroyed: what a program whose device is lost leaves to the end is no leak.
std::set<const void*>& alive() {
  static auto& made = *new std::set<const void*>;
  return made;
}

template <class T>
cudnnStatus_t create(const char* function, T** d, const char* kind) {
  PASS(enter(function));
  if (!d) return refuse(function, "a place for the handle", bad_param);
  const std::lock_guard lock(runtime().mutex);
  alive().insert(*d = new T);
  track(kind, 1);
  return ok;
}
// Never fails, even where a failure is asked for: who calls it could do nothing. A use afterwards is AddressSanitizer's to report.
template <class T>
cudnnStatus_t destroy(T* d, const char* kind) {
  if (!d) return ok;
  const std::lock_guard lock(runtime().mutex);
  alive().erase(d);
  track(kind, -1);
  delete d;
  return ok;
}

}  // namespace
}  // namespace cudnn
}  // namespace emulator

using namespace emulator::cudnn;

std::size_t cudnnGetVersion() { return emulator::version ? emulator::version : CUDNN_VERSION; }
void cudnnGetLastErrorString(char* message, std::size_t size) {
  if (message && size) message[emulator::last_error.copy(message, size - 1)] = 0;
}
const char* cudnnGetErrorString(cudnnStatus_t status) {
  switch (status) {
#define NAME(status) \
  case status:       \
    return #status
    NAME(CUDNN_STATUS_SUCCESS);
    NAME(CUDNN_STATUS_NOT_INITIALIZED);
    NAME(CUDNN_STATUS_BAD_PARAM);
    NAME(CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
    NAME(CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH);
    NAME(CUDNN_STATUS_NOT_SUPPORTED);
    NAME(CUDNN_STATUS_INTERNAL_ERROR);
    NAME(CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED);
    NAME(CUDNN_STATUS_EXECUTION_FAILED);
    NAME(CUDNN_STATUS_EXECUTION_FAILED_CUDART);
#undef NAME
    default:
      return "CUDNN_UNKNOWN_STATUS";
  }
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) { return create(__func__, handle, "cudnn handle(s)"); }
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) { return destroy(handle, "cudnn handle(s)"); }
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  ENTER();
  NEED(handle, bad_param);
  handle->stream = stream;
  return ok;
}

#define DESCRIPTOR(Kind)                                                                                                           \
  cudnnStatus_t cudnnCreate##Kind##Descriptor(cudnn##Kind##Descriptor_t* d) { return create(__func__, d, "cudnn descriptor(s)"); } \
  cudnnStatus_t cudnnDestroy##Kind##Descriptor(cudnn##Kind##Descriptor_t d) { return destroy(d, "cudnn descriptor(s)"); }
DESCRIPTOR(Tensor)
DESCRIPTOR(Filter)
DESCRIPTOR(Convolution)
DESCRIPTOR(Pooling)
DESCRIPTOR(Dropout)

// ---- tensors and filters ----

cudnnStatus_t cudnnSetTensor4dDescriptorEx(cudnnTensorDescriptor_t d, cudnnDataType_t type, int n, int c, int h, int w, int sn, int sc,
                                           int sh, int sw) {
  ENTER();
  NEED(d, bad_param);
  NEED(std::min({n, c, h, w}) > 0, bad_param);
  NEED(std::min({sn, sc, sh, sw}) > 0, bad_param);
  *d = {true, type, n, c, h, w, sn, sc, sh, sw};
  return ok;
}
cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t d, cudnnTensorFormat_t format, cudnnDataType_t type, int n, int c, int h,
                                         int w) {
  ENTER();
  NEED(d, bad_param);
  NEED(format == CUDNN_TENSOR_NHWC || format == CUDNN_TENSOR_NCHW, bad_param);
  NEED(std::min({n, c, h, w}) > 0, bad_param);
  NEED(std::int64_t(n) * c * h * w < std::int64_t(1) << 31, not_supported);
  if (format == CUDNN_TENSOR_NHWC) *d = {true, type, n, c, h, w, h * w * c, 1, w * c, c};
  else *d = {true, type, n, c, h, w, c * h * w, h * w, w, 1};
  return ok;
}
cudnnStatus_t cudnnGetTensor4dDescriptor(cudnnTensorDescriptor_t d, cudnnDataType_t* type, int* n, int* c, int* h, int* w, int* sn, int* sc,
                                         int* sh, int* sw) {
  ENTER();
  NEED(d, bad_param);
  *type = d->type, *n = d->n, *c = d->c, *h = d->h, *w = d->w, *sn = d->sn, *sc = d->sc, *sh = d->sh, *sw = d->sw;
  return ok;
}
cudnnStatus_t cudnnGetTensorSizeInBytes(cudnnTensorDescriptor_t d, std::size_t* size) {
  ENTER();
  NEED(d && size, bad_param);
  *size = d->set ? extent(*d) * size_of(d->type) : 0;
  return ok;
}
cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t d, cudnnDataType_t type, cudnnTensorFormat_t format, int k, int c, int h,
                                         int w) {
  ENTER();
  NEED(d, bad_param);
  NEED(std::min({k, c, h, w}) > 0, bad_param);
  *d = {true, type, format, k, c, h, w};
  return ok;
}
