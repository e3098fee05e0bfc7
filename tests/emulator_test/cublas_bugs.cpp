// Misuse of cuBLAS: what describes a product, the memory and the stream that it is given, its handles.
#include "planted.h"

#include <mica/kernels/cuda/cublas.h>

#include <emulator/device.h>

#include <algorithm>

namespace planted {
#ifdef MICA_CUBLAS
namespace {

using mica::kernels::check;
using mica::kernels::Cublas;
using mica::kernels::CublasOwned;
using mica::kernels::Cuda;
using mica::kernels::Owned;
using mica::kernels::Scratch;

// d[4×4] = op(a)[4×48] · b[48×4], by columns as cuBLAS counts; a holds 1 in its first row and 0 elsewhere, b ones.
struct Product {
  explicit Product(Bench& bench)
      : cuda(bench.cuda), a(bench.memory, 4 * 48), b(bench.memory, 48 * 4), d(bench.memory, 16), workspace(bench.memory, 4096) {
    fill(cuda, a.get(), 0, 4 * 48), fill(cuda, b.get(), 1, 48 * 4);
    for (int column = 0; column < 48; ++column) fill(cuda, a.get() + 4 * column, 1, 1);
  }

  CublasOwned<cublasLtMatrixLayout_t> layout(int rows, int columns, int step) {
    CublasOwned<cublasLtMatrixLayout_t> made;
    check(cublasLtMatrixLayoutCreate(made.out(), CUDA_R_32F, static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(columns), step), "a layout");
    return made;
  }
  // Chooses the algorithm; what a program got wrong is set before.
  void plan() {
    check(cublasLtMatmulDescCreate(product.out(), CUBLAS_COMPUTE_32F, CUDA_R_32F), "a product");
    const std::int32_t operation = transpose ? CUBLAS_OP_T : CUBLAS_OP_N;
    check(cublasLtMatmulDescSetAttribute(product.get(), CUBLASLT_MATMUL_DESC_TRANSA, &operation, sizeof operation), "transposition");
    layout_a = transpose ? layout(48, 4, 48) : layout(4, 48, ld), layout_b = layout(48, 4, 48), layout_d = layout(4, 4, 4);
    CublasOwned<cublasLtMatmulPreference_t> preference;
    check(cublasLtMatmulPreferenceCreate(preference.out()), "a preference");
    const std::uint64_t most = 4096;
    check(cublasLtMatmulPreferenceSetAttribute(preference.get(), CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most, sizeof most), "the workspace");
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    check(cublasLtMatmulAlgoGetHeuristic(cublas.handle(), product.get(), layout_a.get(), layout_b.get(), layout_d.get(), layout_d.get(),
                                         preference.get(), 1, &best, &found),
          "choosing an algorithm");
    algorithm = best.algo, workspace_bytes = best.workspaceSize;
    expect(workspace_bytes > 0, "expected an algorithm with a workspace");
  }
  cublasStatus_t multiply(const float* from, char* space, std::size_t bytes, cudaStream_t stream) {
    const float one = 1, zero = 0;
    return cublasLtMatmul(cublas.handle(), product.get(), &one, from, layout_a.get(), b.get(), layout_b.get(), &zero, d.get(), layout_d.get(), d.get(),
                          layout_d.get(), &algorithm, space, bytes, stream);
  }
  void run() { check(multiply(a.get(), workspace.get(), workspace_bytes, cuda.stream().get()), "cublasLtMatmul"); }
  void expect_right() {
    const std::vector<float> got = host(cuda, d.get(), 16);
    for (int i = 0; i < 16; ++i) expect(got[static_cast<std::size_t>(i)] == (i % 4 == 0 ? 48 : 0), "wrong result");
  }

  Cuda& cuda;
  Cublas cublas;
  Scratch<float> a, b, d;
  Scratch<char> workspace;
  bool transpose = false;
  int ld = 4;
  CublasOwned<cublasLtMatmulDesc_t> product;
  CublasOwned<cublasLtMatrixLayout_t> layout_a, layout_b, layout_d;
  cublasLtMatmulAlgo_t algorithm{};
  std::size_t workspace_bytes = 0;
};

std::vector<Program> descriptions() {
  return {
      {"cuBLAS: leading dimension too small", "leading dimension[^]*CUBLAS_STATUS_INVALID_VALUE", always,
       [](Bench& b, bool bug) {
         Product p(b);
         p.ld = bug ? 3 : 4;
         p.plan(), p.run(), p.expect_right();
       }},
      {"cuBLAS: leading dimension too large", "'cublasLtMatmul' ran with", always,
       [](Bench& b, bool bug) {
         Product p(b);
         p.ld = bug ? 400 : 4;
         p.plan(), p.run();
         b.cuda.stream().synchronize();
       }},
      {"cuBLAS: transposed", "wrong result", always,
       [](Bench& b, bool bug) {
         Product p(b);
         p.transpose = bug;
         p.plan(), p.run(), p.expect_right();
       }},
      {"cuBLAS: operands that do not fit", "op\\(B\\)'s rows[^]*CUBLAS_STATUS_INVALID_VALUE", always,
       [](Bench& b, bool bug) {
         Product p(b);
         p.plan();
         if (bug) p.layout_b = p.layout(47, 4, 48);
         p.run(), p.expect_right();
       }},
      {"cuBLAS: algorithm of another product", "an algorithm of this product[^]*CUBLAS_STATUS_INVALID_VALUE", always,
       [](Bench& b, bool bug) {
         Product p(b);
         p.plan();
         if (bug) p.layout_a = p.layout(4, 48, 5);
         p.run(), p.expect_right();
       }},
      {"cuBLAS: descriptor destroyed before the call", "layout that was destroyed[^]*CUBLAS_STATUS_INVALID_VALUE", always,
       [](Bench& b, bool bug) {
         Product p(b);
         p.plan();
         if (bug) check(cublasLtMatrixLayoutDestroy(p.layout_a.get()));
         const cublasStatus_t status = p.multiply(p.a.get(), p.workspace.get(), p.workspace_bytes, b.cuda.stream().get());
         if (bug) *p.layout_a.out() = nullptr;
         check(status), p.expect_right();
       }},
      {"cuBLAS: status ignored", "wrong result", always,
       [](Bench& b, bool bug) {
         Product p(b);
         p.plan(), fill(b.cuda, p.d.get(), 5, 16);
         if (bug) emulator::fail_library_call(1);
         (void)p.multiply(p.a.get(), p.workspace.get(), p.workspace_bytes, b.cuda.stream().get());
         p.expect_right();
       }},
      {"cuBLAS: a launch fails inside", "cublasLtMatmul failed: CUBLAS_STATUS_EXECUTION_FAILED, the function failed to launch on the GPU", always,
       [](Bench& b, bool bug) {
         Product p(b);
         p.plan();
         if (bug) emulator::fail_launch(1, cudaErrorLaunchOutOfResources);
         p.run(), p.expect_right();
       }},
  };
}

std::vector<Program> memory() {
  return {
      {"cuBLAS: workspace too small", "workspace_bytes >= [^]*CUBLAS_STATUS_INVALID_VALUE", always,
       [](Bench& b, bool bug) {
         Product p(b);
         p.plan();
         check(p.multiply(p.a.get(), p.workspace.get(), p.workspace_bytes - bug, b.cuda.stream().get())), p.expect_right();
       }},
      {"cuBLAS: workspace said to be larger than it is", "'cublasLtMatmul' ran with", always,
       [](Bench& b, bool bug) {
         Product p(b);
         p.plan();
         const Scratch<char> space(b.memory, static_cast<mica::kernels::i64>(bug ? p.workspace_bytes - 1 : p.workspace_bytes));
         check(p.multiply(p.a.get(), space.get(), p.workspace_bytes, b.cuda.stream().get())), b.cuda.stream().synchronize();
       }},
      {"cuBLAS: workspace not aligned", "% 256 == 0[^]*CUBLAS_STATUS_INVALID_VALUE", always,
       [](Bench& b, bool bug) {
         Product p(b);
         p.plan();
         check(p.multiply(p.a.get(), p.workspace.get() + (bug ? 64 : 256), p.workspace_bytes, b.cuda.stream().get())), p.expect_right();
       }},
      {"cuBLAS: operand less aligned than the algorithm was told", "the preference's alignment[^]*CUBLAS_STATUS_INVALID_VALUE", always,
       [](Bench& b, bool bug) {
         Product p(b);
         p.plan();
         check(p.multiply(bug ? p.a.get() - 1 : p.a.get(), p.workspace.get(), p.workspace_bytes, b.cuda.stream().get())), p.expect_right();
       }},
      {"cuBLAS: operand freed while the product is queued", "which is freed memory", late,
       [](Bench& b, bool bug) {
         Product p(b);
         p.plan();
         void* x = b.memory.allocate(4 * 48 * sizeof(float));
         check(cudaMemcpyAsync(x, p.a.get(), 4 * 48 * sizeof(float), cudaMemcpyDeviceToDevice, b.cuda.stream().get()));
         check(p.multiply(static_cast<float*>(x), p.workspace.get(), p.workspace_bytes, b.cuda.stream().get()));
         if (!bug) b.cuda.stream().synchronize();
         check(cudaFree(x)), b.cuda.stream().synchronize(), p.expect_right();
       }},
      {"cuBLAS: workspace shared with another stream", "wrong result", late,
       [](Bench& b, bool bug) {
         Product p(b);
         Cuda other(0, b.memory, b.settings);
         p.plan(), p.run();
         if (!bug) b.cuda.stream().synchronize();
         fill(other, reinterpret_cast<float*>(p.workspace.get()), 1, 4);
         other.stream().synchronize();
         const std::vector<float> before = host(b.cuda, reinterpret_cast<float*>(p.workspace.get()), 4);
         expect(before[0] == 1, "wrong result");
       }},
  };
}

std::vector<Program> streams() {
  return {
      {"cuBLAS: product on the wrong stream", "wrong result", late,
       [](Bench& b, bool bug) {
         Product p(b);
         Cuda other(0, b.memory, b.settings);
         p.plan(), fill(b.cuda, p.d.get(), 5, 16);
         check(p.multiply(p.a.get(), p.workspace.get(), p.workspace_bytes, bug ? other.stream().get() : b.cuda.stream().get()));
         p.expect_right();
         other.stream().synchronize();
       }},
      {"cuBLAS: product on the default stream", "wrong result", late,
       [](Bench& b, bool bug) {
         Product p(b);
         p.plan(), fill(b.cuda, p.d.get(), 5, 16);
         check(p.multiply(p.a.get(), p.workspace.get(), p.workspace_bytes, bug ? nullptr : b.cuda.stream().get()));
         p.expect_right();
         check(cudaDeviceSynchronize());
       }},
      {"cuBLAS: handle made in a capture", "cublasLtCreate failed: CUBLAS_STATUS_ALLOC_FAILED[^]*cudaErrorStreamCaptureUnsupported", always,
       [](Bench& b, bool bug) {
         Owned<cudaGraph_t, cudaGraphDestroy> graph;
         if (!bug) const Cublas before;
         check(cudaStreamBeginCapture(b.cuda.stream().get(), cudaStreamCaptureModeGlobal));
         if (bug) const Cublas inside;
         check(cudaStreamEndCapture(b.cuda.stream().get(), graph.out()));
       }},
      {"cuBLAS: handle and descriptor leaked", "leak: 1 cuBLAS descriptor[^]*leak: 1 cuBLAS handle", always,
       [](Bench& b, bool bug) {
         Product p(b);
         p.plan(), p.run(), p.expect_right();
         if (!bug) return;
         cublasLtHandle_t handle = nullptr;
         cublasLtMatrixLayout_t layout = nullptr;
         check(cublasLtCreate(&handle)), check(cublasLtMatrixLayoutCreate(&layout, CUDA_R_32F, 1, 1, 1));
       }},
  };
}

}  // namespace

std::vector<Program> cublas_bugs() {
  std::vector<Program> all;
  for (const auto& some : {descriptions(), memory(), streams()}) all.insert(all.end(), some.begin(), some.end());
  return all;
}
#else
std::vector<Program> cublas_bugs() { return {}; }
#endif

}  // namespace planted
