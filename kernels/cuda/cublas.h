// cuBLAS (its cublasLt interface, which takes all it uses as arguments), loaded when it is first needed. Never linked: a program
// runs where it is missing, and why_no_cublas() says why our own kernels do its work.
#pragma once

#include <mica/kernels/cuda/handles.h>
#include <mica/kernels/dims.h>

#include <string>

namespace mica::kernels {

// Empty where cuBLAS can be used, otherwise one sentence: this build has no header of it, the file was not found, or it is of
// another major version. Asks for no device.
std::string why_no_cublas();

}  // namespace mica::kernels

#ifdef MICA_CUBLAS
#include <mica/kernels/cuda/shared_library.h>
#include <mica/kernels/shape_cache.h>

#include <cublasLt.h>

#include <array>
#include <mutex>
#include <vector>

// MICA_CUBLAS_CALL(cublasLtCreate)(&handle)
#define MICA_CUBLAS_CALL(function) MICA_LIBRARY_CALL(::mica::kernels::cublas_library(), function)

namespace mica::kernels {

const SharedLibrary& cublas_library();

// check(MICA_CUBLAS_CALL(cublasLtMatmul)(…), "cublasLtMatmul")
void check(cublasStatus_t status, const char* what = "a call of cuBLAS", const char* file = __builtin_FILE(), int line = __builtin_LINE());

inline void destroy(cublasLtHandle_t handle) { (void)MICA_CUBLAS_CALL(cublasLtDestroy)(handle); }
inline void destroy(cublasLtMatmulDesc_t product) { (void)MICA_CUBLAS_CALL(cublasLtMatmulDescDestroy)(product); }
inline void destroy(cublasLtMatrixLayout_t layout) { (void)MICA_CUBLAS_CALL(cublasLtMatrixLayoutDestroy)(layout); }
inline void destroy(cublasLtMatmulPreference_t preference) { (void)MICA_CUBLAS_CALL(cublasLtMatmulPreferenceDestroy)(preference); }

template <class T> using CublasOwned = Owned<T, static_cast<void (*)(T)>(destroy)>;

// How one kind of product is done: everything but the pointers.
struct MatmulPlan {
  CublasOwned<cublasLtMatmulDesc_t> product;
  CublasOwned<cublasLtMatrixLayout_t> first, second, result;
  // What the heuristic proposes, the best first, without those that turned out not to run. None: cuBLAS cannot do it.
  std::vector<cublasLtMatmulHeuristicResult_t> proposals;
};

class Cublas {
 public:
  using Key = std::array<i64, 8>;  // sizes, and every setting that a plan depends on

  Cublas() { check(MICA_CUBLAS_CALL(cublasLtCreate)(handle_.out()), "cublasLtCreate"); }
  cublasLtHandle_t handle() const { return handle_.get(); }

  // Who takes a plan holds `mutex` until its call has been submitted.
  ShapeCache<Key, MatmulPlan> plans;

  std::mutex mutex;  // of the handle and of the plans, whose descriptors hold the bias's pointer during a call

 private:
  CublasOwned<cublasLtHandle_t> handle_;
};

}  // namespace mica::kernels
#endif
