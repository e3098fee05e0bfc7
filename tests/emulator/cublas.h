// The objects behind the emulated cuBLAS's handles: bags of attributes, each with its size in bytes.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <cstring>
#include <map>

namespace emulator::blas {

// First in a function: what it answers where it must fail, which is `usual` unless the fault is a lack of memory.
cublasStatus_t enter(cublasStatus_t usual);

struct Attribute {
  std::size_t bytes;
  std::uint64_t bits;
};

struct Attributes {
  // As stored: the caller names the attribute's own type.
  template <class T = std::int32_t>
  T get(int attribute) const {
    T value;
    std::memcpy(&value, &values.at(attribute).bits, sizeof value);
    return value;
  }
  template <class T>
  void add(int attribute, T value) {
    Attribute& made = values[attribute] = {sizeof value, 0};
    std::memcpy(&made.bits, &value, sizeof value);
  }
  std::map<int, Attribute> values;
};

struct Layout : cublasLtMatrixLayoutOpaque_t, Attributes {
  std::int64_t rows() const { return get<std::int64_t>(CUBLASLT_MATRIX_LAYOUT_ROWS); }
  std::int64_t columns() const { return get<std::int64_t>(CUBLASLT_MATRIX_LAYOUT_COLS); }
  std::int64_t ld() const { return get<std::int64_t>(CUBLASLT_MATRIX_LAYOUT_LD); }
  std::int64_t batch() const { return get(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT); }
  std::int64_t stride() const { return get<std::int64_t>(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET); }
  std::int64_t type() const { return get(CUBLASLT_MATRIX_LAYOUT_TYPE); }
  std::int64_t one() const { return (columns() - 1) * ld() + rows(); }  // how many elements from the first to the last of a matrix
  std::int64_t all() const { return (batch() - 1) * stride() + one(); }
};
struct Product : cublasLtMatmulDescOpaque_t, Attributes {};
struct Preference : cublasLtMatmulPreferenceOpaque_t, Attributes {};

// Null, with a report, for a descriptor that was destroyed or never made.
const Layout* live(cublasLtMatrixLayout_t layout);
const Product* live(cublasLtMatmulDesc_t product);
const Preference* live(cublasLtMatmulPreference_t preference);

// The problem of a call: which product of which matrices. INVALID_VALUE where the documentation calls it an error, NOT_SUPPORTED
// where its tables have no such combination; both are reported, the first as an error of the program.
struct Problem {
  const Product* product;
  const Layout *a, *b, *c, *d;

  cublasStatus_t check() const;
  std::int64_t m() const { return d->rows(); }
  std::int64_t n() const { return d->columns(); }
  std::int64_t k() const { return transposed(CUBLASLT_MATMUL_DESC_TRANSA) ? a->rows() : a->columns(); }
  bool transposed(int attribute) const { return product->get(attribute) != CUBLAS_OP_N; }
  bool is_f64() const { return d->type() == CUDA_R_64F; }
  bool has_bias() const { return product->get(CUBLASLT_MATMUL_DESC_EPILOGUE) == CUBLASLT_EPILOGUE_BIAS; }
  bool tf32() const { return product->get(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE) == CUBLAS_COMPUTE_32F_FAST_TF32; }
  std::uint64_t fingerprint() const;
};

}  // namespace emulator::blas
