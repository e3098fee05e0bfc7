// cublasLt's products as plain loops on the stream that the call names. Sums are f64's, rounded at the end (or, where an algorithm
// cuts them into parts, each part); TF32 rounds the factors to 10 bits.
#include "cublas.h"
#include "device.h"
#include "report.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <vector>

namespace emulator::blas {
namespace {

#define NEED(condition) \
  if (!(condition)) return report("cuBLAS: not (%s)", #condition), CUBLAS_STATUS_INVALID_VALUE
#define CAN(condition) \
  if (!(condition)) return CUBLAS_STATUS_NOT_SUPPORTED

bool is_operation(int value) { return value == CUBLAS_OP_N || value == CUBLAS_OP_T || value == CUBLAS_OP_C; }

// Which elements of x a matrix's (row, column) are, in one product of the batch.
struct Reader {
  std::int64_t row_step, column_step, batch_step;
  explicit Reader(const Layout& l, bool transposed = false)
      : row_step(transposed ? l.ld() : 1), column_step(transposed ? 1 : l.ld()), batch_step(l.stride()) {}
  std::int64_t at(std::int64_t batch, std::int64_t row, std::int64_t column) const { return batch * batch_step + row * row_step + column * column_step; }
};

float to_tf32(float x) {  // to nearest, ties to even, of 10 bits
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if (!std::isfinite(x)) return x;
  bits += 0xfffu + (bits >> 13 & 1);
  bits &= ~0x1fffu;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// How a product is computed: this is what cublasLtMatmulAlgo_t holds here.
struct Algorithm {
  std::uint64_t fingerprint;  // of the problem that it was chosen for
  std::uint64_t parts;        // of every sum; more than one goes through the workspace, or
  std::uint64_t in_place;     // is added to the result, in another order in every second call
  std::uint64_t workspace_bytes;
  std::uint64_t alignment, bias_alignment;  // that it relies on
  std::uint64_t rank;                       // among those that the heuristic proposed
};
static_assert(sizeof(Algorithm) <= sizeof(cublasLtMatmulAlgo_t));

struct Wanted {
  std::uint64_t workspace_bytes;
  std::uint64_t alignment;
  std::uint32_t schemes;  // of cutting sums
};

Algorithm choose(const Problem& p, const Wanted& wanted) {
  const std::uint64_t element = p.is_f64() ? 8 : 4, vector = 16;
  const auto bias = reinterpret_cast<std::uintptr_t>(p.product->get<const void*>(CUBLASLT_MATMUL_DESC_BIAS_POINTER));
  const std::uint64_t parts = 4, bytes = parts * element * static_cast<std::uint64_t>(p.m() * p.n() * p.d->batch());
  const bool split = (wanted.schemes & CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE) && p.k() >= 32 && bytes <= wanted.workspace_bytes;
  const bool in_place = !split && (wanted.schemes & CUBLASLT_REDUCTION_SCHEME_INPLACE) && p.k() >= 32;
  return {p.fingerprint(), split || in_place ? parts : 1, in_place, split ? bytes : 0, wanted.alignment % vector ? element : vector, bias % vector ? element : vector, 0};
}

// The best first: one that cuts its sums, where it may, and one that does not.
std::vector<Algorithm> propose(const Problem& p, Wanted wanted) {
  std::vector<Algorithm> proposals{choose(p, wanted)};
  if (proposals[0].parts > 1) {
    wanted.schemes = CUBLASLT_REDUCTION_SCHEME_NONE;
    proposals.push_back(choose(p, wanted));
    proposals[1].rank = 1;
  }
  return proposals;
}

struct Call {
  std::int64_t m, n, k, batch;
  Reader a, b, c, d;
  bool tf32, read_c, backwards;
  Algorithm algorithm;
  void* workspace;
};

template <class T>
double part(const Call& x, const T* A, const T* B, std::int64_t product, std::int64_t i, std::int64_t j, std::int64_t begin, std::int64_t end) {
  const auto factor = [&](T value) { return static_cast<double>(x.tf32 ? static_cast<T>(to_tf32(static_cast<float>(value))) : value); };
  double sum = 0;
  for (std::int64_t l = begin; l < end; ++l) sum += factor(A[x.a.at(product, i, l)]) * factor(B[x.b.at(product, l, j)]);
  return sum;
}

template <class T>
void multiply(const Call& x, T alpha, const T* A, const T* B, T beta, const T* C, T* D, const T* bias) {
  T* parts = static_cast<T*>(x.workspace);
  const auto count = static_cast<std::int64_t>(x.algorithm.parts);
  for (std::int64_t product = 0; product < x.batch; ++product)
    for (std::int64_t j = 0; j < x.n; ++j)
      for (std::int64_t i = 0; i < x.m; ++i) {
        double sum = 0;
        for (std::int64_t p = 0; p < count; ++p) {
          const std::int64_t at = x.backwards ? count - 1 - p : p;
          double some = part(x, A, B, product, i, j, x.k * at / count, x.k * (at + 1) / count);
          if (x.algorithm.workspace_bytes) some = *parts++ = static_cast<T>(some);
          sum += some;
          if (x.algorithm.in_place) sum = static_cast<T>(sum);
        }
        double value = static_cast<double>(alpha) * sum;
        if (x.read_c) value += static_cast<double>(beta) * static_cast<double>(C[x.c.at(product, i, j)]);  // not read where beta is 0
        if (bias) value += static_cast<double>(bias[i]);
        D[x.d.at(product, i, j)] = static_cast<T>(value);
      }
}

template <class T>
cublasStatus_t run(const Problem& p, const Algorithm& algorithm, const void* alpha, const void* A, const void* B, const void* beta, const void* C, void* D,
                   void* workspace, std::size_t workspace_bytes, cudaStream_t stream) {
  const T scale = *static_cast<const T*>(alpha), keep = *static_cast<const T*>(beta);
  const void* const bias = p.has_bias() ? p.product->get<const void*>(CUBLASLT_MATMUL_DESC_BIAS_POINTER) : nullptr;
  NEED(A && B && D && (C || keep == T(0)) && (bias || !p.has_bias()));
  for (const void* matrix : {A, B, static_cast<const void*>(D), keep == T(0) ? nullptr : C})
    NEED(reinterpret_cast<std::uintptr_t>(matrix) % algorithm.alignment == 0 && "the preference's alignment");
  NEED(reinterpret_cast<std::uintptr_t>(bias) % algorithm.bias_alignment == 0);
  const auto bytes = [](const Layout* l) { return static_cast<std::size_t>(l->all()) * sizeof(T); };
  std::vector<Buffer> buffers{{A, bytes(p.a)}, {B, bytes(p.b)}, {D, bytes(p.d), true}};
  if (keep != T(0) && C != D) buffers.push_back({C, bytes(p.c)});
  if (bias) buffers.push_back({bias, static_cast<std::size_t>(p.m()) * sizeof(T)});
  if (workspace_bytes) buffers.push_back({workspace, workspace_bytes, true});
  static std::atomic<unsigned> calls_in_place = 0;
  const bool backwards = algorithm.in_place && calls_in_place++ % 2;
  const Call call{p.m(), p.n(), p.k(), p.d->batch(), Reader(*p.a, p.transposed(CUBLASLT_MATMUL_DESC_TRANSA)),
                  Reader(*p.b, p.transposed(CUBLASLT_MATMUL_DESC_TRANSB)), Reader(*p.c), Reader(*p.d), p.tf32(), keep != T(0), backwards, algorithm, workspace};
  const auto work = [=] {
    if (workspace_bytes) std::memset(workspace, 0xff, workspace_bytes);  // all of it is the call's: NaN
    multiply(call, scale, static_cast<const T*>(A), static_cast<const T*>(B), keep, static_cast<const T*>(C), static_cast<T*>(D), static_cast<const T*>(bias));
  };
  return enqueue_by_library(stream, "cublasLtMatmul", std::move(buffers), work) ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_SUCCESS;
}

}  // namespace

cublasStatus_t Problem::check() const {
  NEED(product && a && b && c && d);
  const int compute = product->get(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE), scale = product->get(CUBLASLT_MATMUL_DESC_SCALE_TYPE);
  const int epilogue = product->get(CUBLASLT_MATMUL_DESC_EPILOGUE);
  NEED(is_operation(product->get(CUBLASLT_MATMUL_DESC_TRANSA)) && is_operation(product->get(CUBLASLT_MATMUL_DESC_TRANSB)));
  const bool f32 = (compute == CUBLAS_COMPUTE_32F || compute == CUBLAS_COMPUTE_32F_FAST_TF32) && scale == CUDA_R_32F && d->type() == CUDA_R_32F;
  const bool f64 = compute == CUBLAS_COMPUTE_64F && scale == CUDA_R_64F && d->type() == CUDA_R_64F;
  CAN((f32 || f64) && a->type() == d->type() && b->type() == d->type() && c->type() == d->type());
  CAN(epilogue == CUBLASLT_EPILOGUE_DEFAULT || (epilogue == CUBLASLT_EPILOGUE_BIAS && f32));
  CAN(product->get(CUBLASLT_MATMUL_DESC_POINTER_MODE) == CUBLASLT_POINTER_MODE_HOST);
  for (const Layout* l : {a, b, c, d}) {
    CAN(l->get(CUBLASLT_MATRIX_LAYOUT_ORDER) == CUBLASLT_ORDER_COL);
    NEED(l->rows() > 0 && l->columns() > 0 && l->batch() > 0);
    NEED(l->ld() >= l->rows() && "a leading dimension");
    NEED(l->batch() == d->batch());
  }
  NEED((d->batch() == 1 || d->stride() >= d->one()) && "products that overlap");
  const bool ta = transposed(CUBLASLT_MATMUL_DESC_TRANSA), tb = transposed(CUBLASLT_MATMUL_DESC_TRANSB);
  NEED((ta ? a->columns() : a->rows()) == m() && "op(A)'s rows");
  NEED((tb ? b->rows() : b->columns()) == n() && "op(B)'s columns");
  NEED((tb ? b->columns() : b->rows()) == k() && "op(A)'s columns and op(B)'s rows");
  NEED(c->rows() == m() && c->columns() == n());
  return CUBLAS_STATUS_SUCCESS;
}

// FNV-1a of everything that describes the problem, but for the bias's pointer.
std::uint64_t Problem::fingerprint() const {
  std::uint64_t hash = 14695981039346656037u;
  const auto add = [&](const Attributes& of, int without) {
    for (const auto& [attribute, value] : of.values)
      if (attribute != without) hash = (hash ^ value.bits) * 1099511628211u;
  };
  add(*product, CUBLASLT_MATMUL_DESC_BIAS_POINTER);
  for (const Layout* l : {a, b, c, d}) add(*l, -1);
  return hash;
}

}  // namespace emulator::blas

using namespace emulator;
using namespace emulator::blas;

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t product, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t* results, int* found) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (const cublasStatus_t failed = enter(CUBLAS_STATUS_INTERNAL_ERROR)) return failed;
  const Problem problem{live(product), live(a), live(b), live(c), live(d)};
  const Preference* const p = live(preference);
  NEED(p && results && found && requested > 0);
  if (const cublasStatus_t status = problem.check()) return status;
  Wanted wanted{p->get<std::uint64_t>(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES), 256,
                p->get<std::uint32_t>(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK)};
  for (const auto matrix : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    wanted.alignment = std::min<std::uint64_t>(wanted.alignment, p->get<std::uint32_t>(matrix));
  const std::vector<Algorithm> proposals = propose(problem, wanted);
  *found = std::min(requested, static_cast<int>(proposals.size()));
  for (int i = 0; i < *found; ++i) {
    const Algorithm& algorithm = proposals[static_cast<std::size_t>(i)];
    results[i] = {};
    std::memcpy(&results[i].algo, &algorithm, sizeof algorithm);
    results[i].workspaceSize = algorithm.workspace_bytes;
    results[i].state = CUBLAS_STATUS_SUCCESS;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t product, const void* alpha, const void* A, cublasLtMatrixLayout_t a,
                              const void* B, cublasLtMatrixLayout_t b, const void* beta, const void* C, cublasLtMatrixLayout_t c, void* D,
                              cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t* chosen, void* workspace, std::size_t workspace_bytes, cudaStream_t stream) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (const cublasStatus_t failed = enter(CUBLAS_STATUS_EXECUTION_FAILED)) return failed;
  const Problem problem{live(product), live(a), live(b), live(c), live(d)};
  NEED(alpha && beta);
  if (const cublasStatus_t status = problem.check()) return status;
  Algorithm algorithm = choose(problem, {workspace ? workspace_bytes : 0, 4, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  if (chosen) std::memcpy(&algorithm, chosen, sizeof algorithm);
  NEED(algorithm.fingerprint == problem.fingerprint() && "an algorithm of this product");
  NEED(workspace_bytes >= algorithm.workspace_bytes);
  NEED((workspace || workspace_bytes == 0) && reinterpret_cast<std::uintptr_t>(workspace) % 256 == 0);
  CAN(!refuses_proposal(algorithm.rank));
  const auto compute = problem.is_f64() ? run<double> : run<float>;
  return compute(problem, algorithm, alpha, A, B, beta, C, D, workspace, workspace_bytes, stream);
}
