// cuBLAS's handles and descriptors. What the latter accept is what the real library accepts, which is nearly anything: a call that
// uses them looks closer. tests/kernels/cublas_test.cpp compares the answers.
#include "cublas.h"
#include "device.h"
#include "report.h"

#include <cstdlib>
#include <mutex>
#include <set>

struct cublasLtContext {
  void* memory = nullptr;  // the real one takes device memory too, so that none can be made in a capture
};

namespace emulator::blas {
namespace {

// Made when the first handle is, and never destroyed: descriptors in static storage may outlive it, and what a program whose device
// is lost leaves to the end is no leak.
struct Alive {
  std::mutex mutex;
  std::set<const void*> all;
};
Alive& alive() {
  static Alive& made = *new Alive;
  return made;
}

template <class Object, class Handle>
Object* find(Handle handle, const char* kind) {
  if (!handle) return nullptr;
  auto* const object = static_cast<Object*>(handle);
  const std::lock_guard lock(alive().mutex);
  if (alive().all.count(object)) return object;
  report("cuBLAS was given a %s that was destroyed, or never made", kind);
  return nullptr;
}

template <class Object, class Handle>
cublasStatus_t create(Handle* handle, Object*& made) {
  if (!handle) return CUBLAS_STATUS_INVALID_VALUE;
  if (const cublasStatus_t failed = enter(CUBLAS_STATUS_INTERNAL_ERROR)) return failed;
  *handle = made = new Object{};
  const std::lock_guard lock(alive().mutex);
  alive().all.insert(made);
  track("cuBLAS descriptor(s)", 1);
  return CUBLAS_STATUS_SUCCESS;
}

template <class Object, class Handle>
cublasStatus_t destroy(Handle handle, const char* kind) {
  if (!handle) return CUBLAS_STATUS_SUCCESS;
  Object* const object = find<Object>(handle, kind);
  if (!object) return CUBLAS_STATUS_INVALID_VALUE;
  const std::lock_guard lock(alive().mutex);
  alive().all.erase(object);
  delete object;
  track("cuBLAS descriptor(s)", -1);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t set(Attributes* object, int attribute, const void* from, std::size_t bytes) {
  if (!object || !from) return CUBLAS_STATUS_INVALID_VALUE;
  const auto found = object->values.find(attribute);
  if (found == object->values.end() || found->second.bytes != bytes) return CUBLAS_STATUS_INVALID_VALUE;
  if (const cublasStatus_t failed = enter(CUBLAS_STATUS_INTERNAL_ERROR)) return failed;
  found->second.bits = 0;
  std::memcpy(&found->second.bits, from, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t get(const Attributes* object, int attribute, void* to, std::size_t bytes, std::size_t* written) {
  if (!object || (bytes ? !to : !written)) return CUBLAS_STATUS_INVALID_VALUE;
  const auto found = object->values.find(attribute);
  if (found == object->values.end() || (bytes && found->second.bytes != bytes)) return CUBLAS_STATUS_INVALID_VALUE;
  if (bytes) std::memcpy(to, &found->second.bits, bytes);
  if (written) *written = found->second.bytes;
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

cublasStatus_t enter(cublasStatus_t usual) {
  const cudaError_t fault = library_call();
  return fault == cudaErrorMemoryAllocation ? CUBLAS_STATUS_ALLOC_FAILED : fault ? usual : CUBLAS_STATUS_SUCCESS;
}

const Layout* live(cublasLtMatrixLayout_t layout) { return find<Layout>(layout, "layout"); }
const Product* live(cublasLtMatmulDesc_t product) { return find<Product>(product, "product"); }
const Preference* live(cublasLtMatmulPreference_t preference) { return find<Preference>(preference, "preference"); }

}  // namespace emulator::blas

using namespace emulator::blas;

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  if (!handle) return CUBLAS_STATUS_INVALID_VALUE;
  void* memory = nullptr;
  if (const cublasStatus_t failed = enter(CUBLAS_STATUS_NOT_INITIALIZED)) return failed;
  if (cudaMalloc(&memory, 1024)) return CUBLAS_STATUS_ALLOC_FAILED;
  *handle = new cublasLtContext{memory};
  const std::lock_guard lock(alive().mutex);
  alive().all.insert(*handle);
  emulator::track("cuBLAS handle(s)", 1);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  if (!handle) return CUBLAS_STATUS_INVALID_VALUE;
  (void)cudaFree(handle->memory);
  const std::lock_guard lock(alive().mutex);
  alive().all.erase(handle);
  delete handle;
  emulator::track("cuBLAS handle(s)", -1);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, std::uint64_t rows, std::uint64_t columns, std::int64_t ld) {
  Layout* made = nullptr;
  if (const cublasStatus_t status = create(layout, made)) return status;
  made->add(CUBLASLT_MATRIX_LAYOUT_TYPE, std::uint32_t{type});
  made->add(CUBLASLT_MATRIX_LAYOUT_ORDER, std::int32_t{CUBLASLT_ORDER_COL});
  made->add(CUBLASLT_MATRIX_LAYOUT_ROWS, rows);
  made->add(CUBLASLT_MATRIX_LAYOUT_COLS, columns);
  made->add(CUBLASLT_MATRIX_LAYOUT_LD, ld);
  made->add(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, std::int32_t{1});
  made->add(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, std::int64_t{0});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) { return destroy<Layout>(layout, "layout"); }
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute, const void* from, std::size_t bytes) {
  return set(find<Layout>(layout, "layout"), attribute, from, bytes);
}
cublasStatus_t cublasLtMatrixLayoutGetAttribute(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute, void* to, std::size_t bytes,
                                                std::size_t* written) {
  return get(find<Layout>(layout, "layout"), attribute, to, bytes, written);
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* product, cublasComputeType_t compute, cudaDataType_t scale) {
  Product* made = nullptr;
  if (const cublasStatus_t status = create(product, made)) return status;
  made->add(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, std::int32_t{compute});
  made->add(CUBLASLT_MATMUL_DESC_SCALE_TYPE, std::int32_t{scale});
  made->add(CUBLASLT_MATMUL_DESC_POINTER_MODE, std::int32_t{CUBLASLT_POINTER_MODE_HOST});
  for (const auto operand : {CUBLASLT_MATMUL_DESC_TRANSA, CUBLASLT_MATMUL_DESC_TRANSB, CUBLASLT_MATMUL_DESC_TRANSC})
    made->add(operand, std::int32_t{CUBLAS_OP_N});
  made->add(CUBLASLT_MATMUL_DESC_EPILOGUE, std::uint32_t{CUBLASLT_EPILOGUE_DEFAULT});
  made->add(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(nullptr));
  made->add(CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, std::int64_t{0});
  made->add(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, std::int32_t{-1});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t product) { return destroy<Product>(product, "product"); }
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t attribute, const void* from, std::size_t bytes) {
  return set(find<Product>(product, "product"), attribute, from, bytes);
}
cublasStatus_t cublasLtMatmulDescGetAttribute(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t attribute, void* to, std::size_t bytes,
                                              std::size_t* written) {
  return get(find<Product>(product, "product"), attribute, to, bytes, written);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  Preference* made = nullptr;
  if (const cublasStatus_t status = create(preference, made)) return status;
  made->add(CUBLASLT_MATMUL_PREF_SEARCH_MODE, std::uint32_t{CUBLASLT_SEARCH_BEST_FIT});
  made->add(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{0});
  made->add(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_MASK});
  for (const auto matrix : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    made->add(matrix, std::uint32_t{256});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) { return destroy<Preference>(preference, "preference"); }
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute, const void* from,
                                                    std::size_t bytes) {
  return set(find<Preference>(preference, "preference"), attribute, from, bytes);
}
cublasStatus_t cublasLtMatmulPreferenceGetAttribute(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute, void* to,
                                                    std::size_t bytes, std::size_t* written) {
  return get(find<Preference>(preference, "preference"), attribute, to, bytes, written);
}

// ---- what the library says of itself ----

cublasStatus_t cublasLtGetProperty(libraryPropertyType type, int* value) {
  if (!value || type > PATCH_LEVEL) return CUBLAS_STATUS_INVALID_VALUE;
  const char* const other = std::getenv("EMULATOR_CUBLAS_MAJOR");  // so that a program sees a library that does not fit
  *value = type == MAJOR_VERSION ? (other ? std::atoi(other) : CUBLAS_VER_MAJOR) : type == MINOR_VERSION ? CUBLAS_VER_MINOR : CUBLAS_VER_PATCH;
  return CUBLAS_STATUS_SUCCESS;
}

namespace {

struct Status {
  cublasStatus_t status;
  const char *name, *text;
};
#define STATUS(name, text) {name, #name, text}
constexpr Status statuses[] = {
    STATUS(CUBLAS_STATUS_SUCCESS, "success"),
    STATUS(CUBLAS_STATUS_NOT_INITIALIZED, "the library was not initialized"),
    STATUS(CUBLAS_STATUS_ALLOC_FAILED, "the resource allocation failed"),
    STATUS(CUBLAS_STATUS_INVALID_VALUE, "an unsupported value or parameter was passed to the function"),
    STATUS(CUBLAS_STATUS_ARCH_MISMATCH, "the function requires an architectural feature absent from the device"),
    STATUS(CUBLAS_STATUS_MAPPING_ERROR, "an access to GPU memory space failed"),
    STATUS(CUBLAS_STATUS_EXECUTION_FAILED, "the function failed to launch on the GPU"),
    STATUS(CUBLAS_STATUS_INTERNAL_ERROR, "an internal operation failed"),
    STATUS(CUBLAS_STATUS_NOT_SUPPORTED, "the requested functionality is not supported"),
    STATUS(CUBLAS_STATUS_LICENSE_ERROR, "the license check failed"),
};
#undef STATUS
constexpr Status unknown = {CUBLAS_STATUS_INTERNAL_ERROR, "unrecognized status", "unrecognized status"};

const Status& describe(cublasStatus_t status) {
  for (const Status& known : statuses)
    if (known.status == status) return known;
  return unknown;
}

}  // namespace

const char* cublasLtGetStatusName(cublasStatus_t status) { return describe(status).name; }
const char* cublasLtGetStatusString(cublasStatus_t status) { return describe(status).text; }
