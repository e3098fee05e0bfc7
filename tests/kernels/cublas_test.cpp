// What cuBLAS answers where it needs no GPU: descriptors, and calls without a handle.
#include "answers.h"

#include <mica/core/settings.h>

#ifdef MICA_CUBLAS
#include <mica/kernels/cuda/cublas.h>

#include <fmt/format.h>

namespace {

#define CALL(function, ...) say(MICA_CUBLAS_CALL(function)(__VA_ARGS__), #function "(" #__VA_ARGS__ ")")

class Answers {
 public:
  std::string all() {
    names();
    layouts();
    products();
    preferences();
    without_a_handle();
    return text_;
  }

 private:
  void say(cublasStatus_t status, const char* call) { text_ += fmt::format("{:2} {}\n", static_cast<int>(status), call); }
  void say(const char* answer, const char* call) { text_ += fmt::format("   {}: {}\n", call, answer); }
  template <class T> void show(T value) { text_ += fmt::format("   {}\n", value); }

  // A size that was asked for, then the value that was set or is the default.
  template <class T, class Descriptor, class Attribute, class Get>
  void value(Descriptor descriptor, Attribute attribute, Get get) {
    T found = T(123);
    std::size_t written = 99;
    text_ += fmt::format("   attribute {}:", static_cast<int>(attribute));
    text_ += fmt::format(" {}", static_cast<int>(get(descriptor, attribute, nullptr, 0, &written)));
    text_ += fmt::format(" needs {},", written);
    text_ += fmt::format(" {}", static_cast<int>(get(descriptor, attribute, &found, sizeof found, &written)));
    text_ += fmt::format(" is {}", found);
    text_ += fmt::format("; too short {}", static_cast<int>(get(descriptor, attribute, &found, sizeof found / 2, &written)));
    text_ += fmt::format(", no place {}\n", static_cast<int>(get(descriptor, attribute, nullptr, sizeof found, &written)));
  }

  void names() {
    for (const cublasStatus_t status :
         {CUBLAS_STATUS_SUCCESS, CUBLAS_STATUS_NOT_INITIALIZED, CUBLAS_STATUS_ALLOC_FAILED, CUBLAS_STATUS_INVALID_VALUE, CUBLAS_STATUS_ARCH_MISMATCH,
          CUBLAS_STATUS_MAPPING_ERROR, CUBLAS_STATUS_EXECUTION_FAILED, CUBLAS_STATUS_INTERNAL_ERROR, CUBLAS_STATUS_NOT_SUPPORTED, CUBLAS_STATUS_LICENSE_ERROR}) {
      CALL(cublasLtGetStatusName, status);
      CALL(cublasLtGetStatusString, status);
    }
    CALL(cublasLtGetStatusName, static_cast<cublasStatus_t>(2));
    CALL(cublasLtGetStatusString, static_cast<cublasStatus_t>(99));
    int major = 0;
    CALL(cublasLtGetProperty, MAJOR_VERSION, &major);
    show(major == CUBLAS_VER_MAJOR);
    CALL(cublasLtGetProperty, MAJOR_VERSION, nullptr);
    CALL(cublasLtGetProperty, static_cast<libraryPropertyType>(9), &major);
  }

  void layouts() {
    cublasLtMatrixLayout_t l = nullptr;
    const auto get = MICA_CUBLAS_CALL(cublasLtMatrixLayoutGetAttribute);
    std::int32_t narrow = 3;
    std::int64_t wide = 12;
    std::uint32_t type = CUDA_R_64F;
    CALL(cublasLtMatrixLayoutCreate, nullptr, CUDA_R_32F, 3, 4, 3);
    CALL(cublasLtMatrixLayoutCreate, &l, CUDA_R_32F, 3, 4, 2);  // columns that overlap
    CALL(cublasLtMatrixLayoutDestroy, l);
    CALL(cublasLtMatrixLayoutCreate, &l, CUDA_R_32F, 0, 4, 1);
    CALL(cublasLtMatrixLayoutDestroy, l);
    CALL(cublasLtMatrixLayoutCreate, &l, CUDA_R_32F, 3, 4, -3);
    CALL(cublasLtMatrixLayoutDestroy, l);
    CALL(cublasLtMatrixLayoutCreate, &l, static_cast<cudaDataType>(1000), 3, 4, 3);
    CALL(cublasLtMatrixLayoutDestroy, l);
    CALL(cublasLtMatrixLayoutCreate, &l, CUDA_R_32F, 3, 4, 5);
    value<std::uint32_t>(l, CUBLASLT_MATRIX_LAYOUT_TYPE, get);
    value<std::int32_t>(l, CUBLASLT_MATRIX_LAYOUT_ORDER, get);
    value<std::uint64_t>(l, CUBLASLT_MATRIX_LAYOUT_ROWS, get);
    value<std::uint64_t>(l, CUBLASLT_MATRIX_LAYOUT_COLS, get);
    value<std::int64_t>(l, CUBLASLT_MATRIX_LAYOUT_LD, get);
    value<std::int32_t>(l, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, get);
    value<std::int64_t>(l, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, get);
    CALL(cublasLtMatrixLayoutSetAttribute, l, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &narrow, sizeof narrow);
    CALL(cublasLtMatrixLayoutSetAttribute, l, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &narrow, 8);
    CALL(cublasLtMatrixLayoutSetAttribute, l, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, nullptr, sizeof narrow);
    CALL(cublasLtMatrixLayoutSetAttribute, nullptr, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &narrow, sizeof narrow);
    CALL(cublasLtMatrixLayoutSetAttribute, l, static_cast<cublasLtMatrixLayoutAttribute_t>(1000), &narrow, sizeof narrow);
    CALL(cublasLtMatrixLayoutSetAttribute, l, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &wide, sizeof wide);
    CALL(cublasLtMatrixLayoutSetAttribute, l, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &wide, 4);
    CALL(cublasLtMatrixLayoutSetAttribute, l, CUBLASLT_MATRIX_LAYOUT_TYPE, &type, sizeof type);
    narrow = -1, wide = -7;
    CALL(cublasLtMatrixLayoutSetAttribute, l, CUBLASLT_MATRIX_LAYOUT_LD, &wide, sizeof wide);
    value<std::uint32_t>(l, CUBLASLT_MATRIX_LAYOUT_TYPE, get);
    value<std::int64_t>(l, CUBLASLT_MATRIX_LAYOUT_LD, get);
    value<std::int32_t>(l, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, get);
    value<std::int64_t>(l, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, get);
    CALL(cublasLtMatrixLayoutSetAttribute, l, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &narrow, sizeof narrow);
    CALL(cublasLtMatrixLayoutSetAttribute, l, CUBLASLT_MATRIX_LAYOUT_ORDER, &narrow, sizeof narrow);
    CALL(cublasLtMatrixLayoutGetAttribute, l, CUBLASLT_MATRIX_LAYOUT_LD, nullptr, 0, nullptr);
    CALL(cublasLtMatrixLayoutGetAttribute, l, CUBLASLT_MATRIX_LAYOUT_LD, &wide, sizeof wide, nullptr);
    CALL(cublasLtMatrixLayoutGetAttribute, nullptr, CUBLASLT_MATRIX_LAYOUT_LD, &wide, sizeof wide, nullptr);
    CALL(cublasLtMatrixLayoutDestroy, l);
    CALL(cublasLtMatrixLayoutDestroy, nullptr);
  }

  void products() {
    cublasLtMatmulDesc_t d = nullptr;
    const auto get = MICA_CUBLAS_CALL(cublasLtMatmulDescGetAttribute);
    CALL(cublasLtMatmulDescCreate, nullptr, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    CALL(cublasLtMatmulDescCreate, &d, CUBLAS_COMPUTE_64F, CUDA_R_32F);
    CALL(cublasLtMatmulDescDestroy, d);
    CALL(cublasLtMatmulDescCreate, &d, static_cast<cublasComputeType_t>(1000), CUDA_R_32F);
    CALL(cublasLtMatmulDescDestroy, d);
    CALL(cublasLtMatmulDescCreate, &d, CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F);
    value<std::int32_t>(d, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, get);
    value<std::int32_t>(d, CUBLASLT_MATMUL_DESC_SCALE_TYPE, get);
    value<std::int32_t>(d, CUBLASLT_MATMUL_DESC_POINTER_MODE, get);
    value<std::int32_t>(d, CUBLASLT_MATMUL_DESC_TRANSA, get);
    value<std::int32_t>(d, CUBLASLT_MATMUL_DESC_TRANSB, get);
    value<std::uint32_t>(d, CUBLASLT_MATMUL_DESC_EPILOGUE, get);
    value<std::uint64_t>(d, CUBLASLT_MATMUL_DESC_BIAS_POINTER, get);
    value<std::int32_t>(d, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, get);
    std::int32_t operation = CUBLAS_OP_T;
    std::uint32_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    const void* bias = nullptr;
    CALL(cublasLtMatmulDescSetAttribute, d, CUBLASLT_MATMUL_DESC_TRANSA, &operation, sizeof operation);
    CALL(cublasLtMatmulDescSetAttribute, d, CUBLASLT_MATMUL_DESC_TRANSA, &operation, 8);
    CALL(cublasLtMatmulDescSetAttribute, d, CUBLASLT_MATMUL_DESC_TRANSA, nullptr, 4);
    CALL(cublasLtMatmulDescSetAttribute, nullptr, CUBLASLT_MATMUL_DESC_TRANSA, &operation, sizeof operation);
    CALL(cublasLtMatmulDescSetAttribute, d, static_cast<cublasLtMatmulDescAttributes_t>(1000), &operation, sizeof operation);
    CALL(cublasLtMatmulDescSetAttribute, d, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    CALL(cublasLtMatmulDescSetAttribute, d, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
    CALL(cublasLtMatmulDescSetAttribute, d, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, 4);
    operation = 7, epilogue = 3;
    CALL(cublasLtMatmulDescSetAttribute, d, CUBLASLT_MATMUL_DESC_TRANSB, &operation, sizeof operation);
    CALL(cublasLtMatmulDescSetAttribute, d, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    value<std::int32_t>(d, CUBLASLT_MATMUL_DESC_TRANSA, get);
    value<std::int32_t>(d, CUBLASLT_MATMUL_DESC_TRANSB, get);
    value<std::uint32_t>(d, CUBLASLT_MATMUL_DESC_EPILOGUE, get);
    CALL(cublasLtMatmulDescGetAttribute, d, CUBLASLT_MATMUL_DESC_TRANSA, nullptr, 0, nullptr);
    CALL(cublasLtMatmulDescDestroy, d);
    CALL(cublasLtMatmulDescDestroy, nullptr);
  }

  void preferences() {
    cublasLtMatmulPreference_t p = nullptr;
    const auto get = MICA_CUBLAS_CALL(cublasLtMatmulPreferenceGetAttribute);
    CALL(cublasLtMatmulPreferenceCreate, nullptr);
    CALL(cublasLtMatmulPreferenceCreate, &p);
    value<std::uint32_t>(p, CUBLASLT_MATMUL_PREF_SEARCH_MODE, get);
    value<std::uint64_t>(p, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, get);
    value<std::uint32_t>(p, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, get);
    value<std::uint32_t>(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, get);
    value<std::uint32_t>(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, get);
    std::uint64_t bytes = 1 << 20;
    std::uint32_t alignment = 3, mask = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    CALL(cublasLtMatmulPreferenceSetAttribute, p, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes);
    CALL(cublasLtMatmulPreferenceSetAttribute, p, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, 4);
    CALL(cublasLtMatmulPreferenceSetAttribute, p, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, nullptr, sizeof bytes);
    CALL(cublasLtMatmulPreferenceSetAttribute, nullptr, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes);
    CALL(cublasLtMatmulPreferenceSetAttribute, p, static_cast<cublasLtMatmulPreferenceAttributes_t>(1000), &bytes, sizeof bytes);
    CALL(cublasLtMatmulPreferenceSetAttribute, p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &alignment, sizeof alignment);
    CALL(cublasLtMatmulPreferenceSetAttribute, p, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &mask, sizeof mask);
    value<std::uint64_t>(p, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, get);
    value<std::uint32_t>(p, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, get);
    value<std::uint32_t>(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, get);
    CALL(cublasLtMatmulPreferenceDestroy, p);
    CALL(cublasLtMatmulPreferenceDestroy, nullptr);
  }

  void without_a_handle() {
    cublasLtMatmulDesc_t d = nullptr;
    cublasLtMatrixLayout_t l = nullptr;
    cublasLtMatmulPreference_t p = nullptr;
    CALL(cublasLtMatmulDescCreate, &d, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    CALL(cublasLtMatrixLayoutCreate, &l, CUDA_R_32F, 4, 4, 4);
    CALL(cublasLtMatmulPreferenceCreate, &p);
    cublasLtMatmulHeuristicResult_t result{};
    int found = 5;
    float one = 1;
    CALL(cublasLtMatmulAlgoGetHeuristic, nullptr, d, l, l, l, l, p, 1, &result, &found);
    show(found);
    CALL(cublasLtMatmulAlgoGetHeuristic, nullptr, d, l, l, l, l, p, 0, &result, &found);
    CALL(cublasLtMatmul, nullptr, d, &one, nullptr, l, nullptr, l, &one, nullptr, l, nullptr, l, nullptr, nullptr, 0, nullptr);
    CALL(cublasLtDestroy, nullptr);
    CALL(cublasLtCreate, nullptr);
    CALL(cublasLtMatmulDescDestroy, d);
    CALL(cublasLtMatrixLayoutDestroy, l);
    CALL(cublasLtMatmulPreferenceDestroy, p);
  }

  std::string text_;
};

int property(libraryPropertyType type) {
  int value = 0;
  MICA_CUBLAS_CALL(cublasLtGetProperty)(type, &value);
  return value;
}

}  // namespace

TEST_CASE("cuBLAS answers as it is stored that it does", "[cuda][answers]") {
  if (const std::string reason = mica::kernels::why_no_cublas(); !reason.empty()) {
    WARN("skipped: " << reason);
    return;
  }
  const std::string version = fmt::format("cuBLASLt {}.{}.{}", property(MAJOR_VERSION), property(MINOR_VERSION), property(PATCH_LEVEL));
  mica::test::check_answers("cublas_answers.txt", version, Answers().all());
}

#endif
