// Matrix product by cublasLt, which counts in columns: to it our row-major c[m×n] is a matrix c' of n rows and m columns, and
// c = op(a) · op(b) reads c' = op(b)' · op(a)', so b comes first. A row-major matrix is its own transpose there: b (k×n) is n×k.
#include <mica/kernels/cuda/cublas.h>
#include <mica/kernels/cuda/matmul.h>

#ifdef MICA_CUBLAS
#include <mica/kernels/copy.h>

#include <algorithm>
#include <bit>

namespace mica::kernels {
namespace {

template <class T> constexpr cudaDataType type_of = sizeof(T) == 8 ? CUDA_R_64F : CUDA_R_32F;
// cublasLt adds a bias in its epilogue to f32, not to f64 (cuBLAS's documentation, cublasLtMatmul, table of types).
template <class T> constexpr bool has_bias_epilogue = sizeof(T) == 4;

constexpr int most_proposals = 8;  // that the heuristic is asked for

struct Request {
  MatmulDims d;
  bool tf32, deterministic;
  i64 alignment;  // of all pointers, in bytes: views begin anywhere, and cublasLt takes 256 for granted
  std::size_t workspace_limit;
  const void* bias;  // null unless it is the epilogue's
};

i64 alignment_of(std::initializer_list<const void*> pointers) {
  std::uintptr_t bits = 256;
  for (const void* p : pointers) bits |= reinterpret_cast<std::uintptr_t>(p);
  return i64{1} << std::countr_zero(bits);
}

template <class T>
Cublas::Key key_of(const Request& r, bool accumulates) {
  const i64 choices = r.d.transpose_a | r.d.transpose_b << 1 | r.tf32 << 2 | r.deterministic << 3 | (r.bias != nullptr) << 4 |
                      accumulates << 5 | (sizeof(T) == 8) << 6;
  // The bias's alignment by itself too: the heuristic is given its pointer, and only the least alignment of the others.
  return {r.d.m, r.d.n, r.d.k, r.d.batch, choices, r.alignment, alignment_of({r.bias}), static_cast<i64>(r.workspace_limit)};
}

template <class T>
void set(const CublasOwned<cublasLtMatmulDesc_t>& product, cublasLtMatmulDescAttributes_t attribute, T value) {
  check(MICA_CUBLAS_CALL(cublasLtMatmulDescSetAttribute)(product.get(), attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
}
template <class T>
void set(const CublasOwned<cublasLtMatrixLayout_t>& layout, cublasLtMatrixLayoutAttribute_t attribute, T value) {
  check(MICA_CUBLAS_CALL(cublasLtMatrixLayoutSetAttribute)(layout.get(), attribute, &value, sizeof value), "cublasLtMatrixLayoutSetAttribute");
}
template <class T>
void set(const CublasOwned<cublasLtMatmulPreference_t>& preference, cublasLtMatmulPreferenceAttributes_t attribute, T value) {
  check(MICA_CUBLAS_CALL(cublasLtMatmulPreferenceSetAttribute)(preference.get(), attribute, &value, sizeof value),
        "cublasLtMatmulPreferenceSetAttribute");
}

// Of row-major matrices that follow one another.
template <class T>
CublasOwned<cublasLtMatrixLayout_t> layout(i64 rows, i64 columns, i64 batch) {
  CublasOwned<cublasLtMatrixLayout_t> made;
  check(MICA_CUBLAS_CALL(cublasLtMatrixLayoutCreate)(made.out(), type_of<T>, static_cast<std::uint64_t>(columns), static_cast<std::uint64_t>(rows), columns),
        "cublasLtMatrixLayoutCreate");
  set(made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<std::int32_t>(batch));
  set(made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, std::int64_t{rows * columns});
  return made;
}

template <class T>
CublasOwned<cublasLtMatmulDesc_t> describe(const Request& r) {
  CublasOwned<cublasLtMatmulDesc_t> product;
  const cublasComputeType_t compute = sizeof(T) == 8 ? CUBLAS_COMPUTE_64F : r.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  check(MICA_CUBLAS_CALL(cublasLtMatmulDescCreate)(product.out(), compute, type_of<T>), "cublasLtMatmulDescCreate");
  const auto operation = [](bool transpose) { return std::int32_t{transpose ? CUBLAS_OP_T : CUBLAS_OP_N}; };
  set(product, CUBLASLT_MATMUL_DESC_TRANSA, operation(r.d.transpose_b));
  set(product, CUBLASLT_MATMUL_DESC_TRANSB, operation(r.d.transpose_a));
  if (r.bias) {
    set(product, CUBLASLT_MATMUL_DESC_EPILOGUE, std::uint32_t{CUBLASLT_EPILOGUE_BIAS});
    set(product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, r.bias);  // the heuristic looks at its alignment
  }
  return product;
}

CublasOwned<cublasLtMatmulPreference_t> preference(const Request& r) {
  CublasOwned<cublasLtMatmulPreference_t> made;
  check(MICA_CUBLAS_CALL(cublasLtMatmulPreferenceCreate)(made.out()), "cublasLtMatmulPreferenceCreate");
  set(made, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{r.workspace_limit});
  for (const auto matrix : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    set(made, matrix, static_cast<std::uint32_t>(r.alignment));
  // In place, parts of a sum are added to the result one after another, in an order that is not promised.
  if (r.deterministic)
    set(made, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE});
  return made;
}

template <class T>
MatmulPlan make_plan(const Cublas& cublas, const Request& r) {
  const MatmulDims& d = r.d;
  MatmulPlan plan;
  plan.product = describe<T>(r);
  plan.first = d.transpose_b ? layout<T>(d.n, d.k, d.batch) : layout<T>(d.k, d.n, d.batch);
  plan.second = d.transpose_a ? layout<T>(d.k, d.m, d.batch) : layout<T>(d.m, d.k, d.batch);
  plan.result = layout<T>(d.m, d.n, d.batch);
  plan.proposals.resize(most_proposals);
  int found = 0;
  const cublasStatus_t status = MICA_CUBLAS_CALL(cublasLtMatmulAlgoGetHeuristic)(
      cublas.handle(), plan.product.get(), plan.first.get(), plan.second.get(), plan.result.get(), plan.result.get(), preference(r).get(),
      most_proposals, plan.proposals.data(), &found);
  if (status != CUBLAS_STATUS_NOT_SUPPORTED) check(status, "cublasLtMatmulAlgoGetHeuristic");
  plan.proposals.resize(status == CUBLAS_STATUS_SUCCESS ? static_cast<std::size_t>(found) : 0);
  std::erase_if(plan.proposals, [&](const auto& p) { return p.state != CUBLAS_STATUS_SUCCESS || p.workspaceSize > r.workspace_limit; });
  return plan;
}

// y[rows×n] = bias[n] in every row.
template <class T>
void repeat(Cuda& cuda, i64 rows, i64 n, const T* bias, T* y) {
  strided_copy(cuda, 2, Sizes{rows, n}, Sizes{0, 1}, bias, Sizes{n, 1}, y);
}

}  // namespace

template <class T>
bool cublas::matmul(Cuda& cuda, const MatmulDims& d, const T* a, const T* b, const T* bias, T* c) {
  Cublas& cublas = *cuda.cublas();
  const Settings& settings = cuda.settings();
  const bool accumulates = bias && !has_bias_epilogue<T>;
  const Request r{d, sizeof(T) == 4 && settings.matmul_tf32, settings.deterministic, alignment_of({a, b, c, has_bias_epilogue<T> ? bias : nullptr}),
                  settings.workspace_bytes, accumulates ? nullptr : bias};
  const std::lock_guard lock(cublas.mutex);
  MatmulPlan& plan = cublas.plans.get(key_of<T>(r, accumulates), [&] { return make_plan<T>(cublas, r); });
  if (plan.proposals.empty()) return false;

  if (r.bias) set(plan.product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, r.bias);
  if (accumulates) repeat(cuda, d.batch * d.m, d.n, bias, c);
  const T one = 1, kept = accumulates ? 1 : 0;
  for (; !plan.proposals.empty(); plan.proposals.erase(plan.proposals.begin())) {
    const cublasLtMatmulHeuristicResult_t& best = plan.proposals.front();
    const auto workspace = cuda.scratch<char>(static_cast<i64>(best.workspaceSize));
    const cublasStatus_t status = MICA_CUBLAS_CALL(cublasLtMatmul)(
        cublas.handle(), plan.product.get(), &one, b, plan.first.get(), a, plan.second.get(), &kept, c, plan.result.get(), c, plan.result.get(),
        &best.algo, workspace.get(), best.workspaceSize, cuda.stream().get());
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) continue;
    check(status, "cublasLtMatmul"), cuda.launched("cublasLtMatmul");
    return true;
  }
  return false;
}

template bool cublas::matmul(Cuda&, const MatmulDims&, const float*, const float*, const float*, float*);
template bool cublas::matmul(Cuda&, const MatmulDims&, const double*, const double*, const double*, double*);

}  // namespace mica::kernels

#else

namespace mica::kernels {

template <class T>
bool cublas::matmul(Cuda&, const MatmulDims&, const T*, const T*, const T*, T*) {
  return false;
}
template bool cublas::matmul(Cuda&, const MatmulDims&, const float*, const float*, const float*, float*);
template bool cublas::matmul(Cuda&, const MatmulDims&, const double*, const double*, const double*, double*);

}  // namespace mica::kernels

#endif
