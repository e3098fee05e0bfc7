// The emulated cuDNN: convolution.
#include "cudnn_fake.h"
#include "raw_memory.h"

#include <algorithm>
#include <atomic>
#include <cstring>

using namespace emulator;
using namespace emulator::cudnn;

// ---- descriptors ----

cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t d, int ph, int pw, int sh, int sw, int dh, int dw,
                                              cudnnConvolutionMode_t mode, cudnnDataType_t compute) {
  ENTER();
  NEED(d, bad_param);
  NEED(std::min(ph, pw) >= 0, bad_param);
  NEED(std::min(sh, sw) > 0, bad_param);
  NEED(std::min(dh, dw) > 0, bad_param);
  *d = {true, ph, pw, sh, sw, dh, dw, mode, compute, d->groups, d->math};
  return ok;
}
cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t d, int groups) {
  ENTER();
  NEED(d, bad_param);
  NEED(groups > 0, bad_param);
  d->groups = groups;
  return ok;
}
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t d, cudnnMathType_t math) {
  ENTER();
  NEED(d, bad_param);
  NEED(math >= CUDNN_DEFAULT_MATH && math <= CUDNN_FMA_MATH, bad_param);
  d->math = math;
  return ok;
}

cudnnStatus_t cudnnGetConvolution2dForwardOutputDim(cudnnConvolutionDescriptor_t d, cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t f,
                                                    int* n, int* c, int* h, int* w) {
  ENTER();
  NEED(set(d) && set(x) && set(f), bad_param);
  NEED(x->c == f->c * d->groups, bad_param);
  const auto size = [](int image, int padding, int filter, int dilation, int stride) {
    return (image + 2 * padding - (filter - 1) * dilation - 1) / stride + 1;
  };
  *n = x->n, *c = f->k, *h = size(x->h, d->ph, f->h, d->dh, d->sh), *w = size(x->w, d->pw, f->w, d->dw, d->sw);
  NEED(x->h + 2 * d->ph > (f->h - 1) * d->dh && x->w + 2 * d->pw > (f->w - 1) * d->dw, bad_param);
  return ok;
}

namespace {

// What all passes ask of their descriptors.
cudnnStatus_t check(const char* function, cudnnHandle_t handle, cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t f,
                    cudnnConvolutionDescriptor_t d, cudnnTensorDescriptor_t y) {
  int n = 0, c = 0, h = 0, w = 0;
  NEED_IN(function, handle, bad_param);
  NEED_IN(function, set(y), bad_param);
  PASS(cudnnGetConvolution2dForwardOutputDim(d, x, f, &n, &c, &h, &w));
  NEED_IN(function, y->n == n && y->c == c && y->h == h && y->w == w, bad_param);
  NEED_IN(function, f->k % d->groups == 0, bad_param);
  NEED_IN(function, x->type == f->type && x->type == y->type, bad_param);
  NEED_IN(function, floating(x->type) && d->compute == x->type, not_supported);
  NEED_IN(function, f->format == CUDNN_TENSOR_NCHW || (f->format == CUDNN_TENSOR_NHWC && x->sc == 1 && y->sc == 1), not_supported);
  return ok;
}

// ---- algorithms: of each pass one without a workspace and one with; for gradients the former does not repeat its bits ----

// In the order in which they are proposed. The last one the real library knows and cannot do in NHWC.
const std::vector forward_algorithms{CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM,
                                     CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD};
const std::vector data_algorithms{CUDNN_CONVOLUTION_BWD_DATA_ALGO_0, CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD};
const std::vector weight_algorithms{CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1,
                                    CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT};

template <class Algorithm>
bool runs(const std::vector<Algorithm>& proposed, Algorithm algorithm) {
  return !refuses_proposal(static_cast<std::size_t>(std::ranges::find(proposed, algorithm) - proposed.begin()));
}

std::size_t index_bytes(cudnnTensorDescriptor_t y, cudnnFilterDescriptor_t f) {
  return sizeof(int) * std::size_t(y->h * y->w * f->h * f->w);
}

template <class Proposal, class Algorithm, class Workspace>
cudnnStatus_t propose(cudnnConvolutionDescriptor_t d, int wanted, int* count, Proposal* proposals, const std::vector<Algorithm>& algorithms,
                      const std::vector<Algorithm>& random, const Workspace& workspace) {
  *count = std::min(wanted, static_cast<int>(algorithms.size()));
  for (int i = 0; i < *count; ++i) {
    const Algorithm algorithm = algorithms[static_cast<std::size_t>(i)];
    std::size_t bytes = 0;
    const cudnnStatus_t status = workspace(algorithm, &bytes);
    const bool repeats = std::ranges::find(random, algorithm) == random.end();
    const cudnnMathType_t math = d->math == CUDNN_FMA_MATH || d->compute == CUDNN_DATA_DOUBLE ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH;
    proposals[i] = {
        algorithm, status, status ? -1.0f : static_cast<float>(i + 1), bytes, repeats ? CUDNN_DETERMINISTIC : CUDNN_NON_DETERMINISTIC,
        math,      {}};
  }
  return ok;
}

// ---- loops ----

// TF32 keeps 10 bits of a number, which ties round to even.
double to_tf32(float v) {
  std::uint32_t bits;
  std::memcpy(&bits, &v, 4);
  if ((bits & 0x7F800000) != 0x7F800000) bits = (bits + 0xFFF + (bits >> 13 & 1)) & ~0x1FFFu;
  std::memcpy(&v, &bits, 4);
  return static_cast<double>(v);
}
struct Number {
  bool tf32;
  double operator()(double v) const { return v; }
  double operator()(float v) const { return tf32 ? to_tf32(v) : static_cast<double>(v); }
};

// f(x, w, y): offsets of every product that the convolution adds. Filters are k×c×h×w or k×h×w×c.
template <class F>
void each_product(const cudnnTensorStruct& x, const cudnnFilterStruct& f, const cudnnConvolutionStruct& d, const cudnnTensorStruct& y,
                  const F& use) {
  const bool nhwc = f.format == CUDNN_TENSOR_NHWC, flip = d.mode == CUDNN_CONVOLUTION;
  const std::size_t along_c = nhwc ? 1 : std::size_t(f.h * f.w), filter = std::size_t(f.c * f.h * f.w);
  const int channels = f.k / d.groups;  // of y, in a group
  for (int n = 0; n < y.n; ++n)
    for (int i = 0; i < y.h; ++i)
      for (int j = 0; j < y.w; ++j)
        for (int r = 0; r < f.h; ++r)
          for (int s = 0; s < f.w; ++s) {
            const int h = i * d.sh - d.ph + r * d.dh, w = j * d.sw - d.pw + s * d.dw, fr = flip ? f.h - 1 - r : r,
                      fs = flip ? f.w - 1 - s : s;
            if (h < 0 || h >= x.h || w < 0 || w >= x.w) continue;
            const std::size_t tap = nhwc ? std::size_t((fr * f.w + fs) * f.c) : std::size_t(fr * f.w + fs);
            for (int k = 0; k < f.k; ++k) {
              const std::size_t to = offset(y, n, k, i, j), from = offset(x, n, k / channels * f.c, h, w),
                                weight = std::size_t(k) * filter + tap;
              for (int c = 0; c < f.c; ++c) use(from + std::size_t(c) * std::size_t(x.sc), weight + std::size_t(c) * along_c, to);
            }
          }
}

enum class Pass { forward, data, weight };

// What float atomics would do to a sum: another last bit in every second call.
std::atomic<unsigned> random_calls[3];  // by pass
template <class T>
T shaken(T value, bool shake) {
  return shake ? std::nextafter(value, T(0)) : value;
}

// a and b are what the pass reads, result what it writes: y, gx or gw.
cudnnStatus_t enqueue_pass(cudnnHandle_t handle, const char* name, Pass pass, const cudnnTensorStruct& x, const cudnnFilterStruct& f,
                           const cudnnConvolutionStruct& d, const cudnnTensorStruct& y, const void* a, const void* b, void* result,
                           void* workspace, std::size_t need, bool random, const Blend& blend) {
  const Buffer filter{pass == Pass::weight ? result : b, size_of(f.type) * std::size_t(f.k * f.c * f.h * f.w), pass == Pass::weight};
  std::vector<Buffer> buffers{filter};
  if (pass == Pass::forward) buffers.push_back(read(&x, a)), buffers.push_back(written(&y, result));
  if (pass == Pass::data) buffers.push_back(read(&y, a)), buffers.push_back(written(&x, result));
  if (pass == Pass::weight) buffers.push_back(read(&x, a)), buffers.push_back(read(&y, b));
  if (need) buffers.push_back({workspace, need, true});
  const bool shake = random && random_calls[static_cast<int>(pass)]++ % 2;
  const bool tf32 = d.math != CUDNN_FMA_MATH && x.type == CUDNN_DATA_FLOAT;
  return run(handle, name, buffers, [=] {
    if (need) raw_fill(workspace, not_a_number, need);  // the real library scribbles here too
    by_type(x.type, [&](auto t) {
      using T = decltype(t);
      const T *first = static_cast<const T*>(a), *second = static_cast<const T*>(b);
      T* const out = static_cast<T*>(result);
      const Number number{tf32};
      const std::size_t count = pass == Pass::weight ? std::size_t(f.k * f.c * f.h * f.w) : extent(pass == Pass::data ? x : y);
      std::vector<double> sums(count);
      each_product(x, f, d, y, [&](std::size_t ix, std::size_t iw, std::size_t iy) {
        if (pass == Pass::forward) sums[iy] += number(first[ix]) * number(second[iw]);
        else if (pass == Pass::data) sums[ix] += number(first[iy]) * number(second[iw]);
        else sums[iw] += number(first[ix]) * number(second[iy]);
      });
      const auto store = [&](std::size_t i) {
        blend(out[i], sums[i]);
        out[i] = shaken(out[i], shake);
      };
      if (pass == Pass::weight)
        for (std::size_t i = 0; i < count; ++i) store(i);
      else
        View<T>(pass == Pass::data ? x : y, result).each([&](int n, int c, int h, int w) {
          store(offset(pass == Pass::data ? x : y, n, c, h, w));
        });
    });
  });
}

}  // namespace

// ---- forward ----

cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t handle, cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t f,
                                                      cudnnConvolutionDescriptor_t d, cudnnTensorDescriptor_t y,
                                                      cudnnConvolutionFwdAlgo_t algorithm, std::size_t* size) {
  ENTER();
  NEED(size, bad_param);
  PASS(check(__func__, handle, x, f, d, y));
  NEED(algorithm == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM || algorithm == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM,
       not_supported);
  *size = algorithm == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM ? 0 : index_bytes(y, f);
  return ok;
}
cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t handle, cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t f,
                                                     cudnnConvolutionDescriptor_t d, cudnnTensorDescriptor_t y, int wanted, int* count,
                                                     cudnnConvolutionFwdAlgoPerf_t* proposals) {
  ENTER();
  NEED(given(count, proposals) && wanted > 0, bad_param);
  PASS(check(__func__, handle, x, f, d, y));
  return propose<cudnnConvolutionFwdAlgoPerf_t, cudnnConvolutionFwdAlgo_t>(
      d, wanted, count, proposals, forward_algorithms, {},
      [&](auto algorithm, std::size_t* bytes) { return cudnnGetConvolutionForwardWorkspaceSize(handle, x, f, d, y, algorithm, bytes); });
}
cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void* alpha, cudnnTensorDescriptor_t x, const void* xp,
                                      cudnnFilterDescriptor_t f, const void* fp, cudnnConvolutionDescriptor_t d,
                                      cudnnConvolutionFwdAlgo_t algorithm, void* workspace, std::size_t workspace_bytes, const void* beta,
                                      cudnnTensorDescriptor_t y, void* yp) {
  ENTER();
  std::size_t need = 0;
  NEED(given(alpha, beta, xp, fp, yp), bad_param);
  PASS(cudnnGetConvolutionForwardWorkspaceSize(handle, x, f, d, y, algorithm, &need));
  NEED(workspace_bytes >= need && (workspace || need == 0), bad_param);
  NEED(runs(forward_algorithms, algorithm), not_supported);
  return enqueue_pass(handle, __func__, Pass::forward, *x, *f, *d, *y, xp, fp, yp, workspace, need, false, Blend(x->type, alpha, beta));
}

// ---- data gradient ----

cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(cudnnHandle_t handle, cudnnFilterDescriptor_t f, cudnnTensorDescriptor_t gy,
                                                           cudnnConvolutionDescriptor_t d, cudnnTensorDescriptor_t gx,
                                                           cudnnConvolutionBwdDataAlgo_t algorithm, std::size_t* size) {
  ENTER();
  NEED(size, bad_param);
  PASS(check(__func__, handle, gx, f, d, gy));
  NEED(algorithm == CUDNN_CONVOLUTION_BWD_DATA_ALGO_0 || algorithm == CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, not_supported);
  *size = algorithm == CUDNN_CONVOLUTION_BWD_DATA_ALGO_0 ? 0 : index_bytes(gy, f);
  return ok;
}
cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnnHandle_t handle, cudnnFilterDescriptor_t f, cudnnTensorDescriptor_t gy,
                                                          cudnnConvolutionDescriptor_t d, cudnnTensorDescriptor_t gx, int wanted,
                                                          int* count, cudnnConvolutionBwdDataAlgoPerf_t* proposals) {
  ENTER();
  NEED(given(count, proposals) && wanted > 0, bad_param);
  PASS(check(__func__, handle, gx, f, d, gy));
  return propose<cudnnConvolutionBwdDataAlgoPerf_t, cudnnConvolutionBwdDataAlgo_t>(
      d, wanted, count, proposals, data_algorithms, {CUDNN_CONVOLUTION_BWD_DATA_ALGO_0}, [&](auto algorithm, std::size_t* bytes) {
        return cudnnGetConvolutionBackwardDataWorkspaceSize(handle, f, gy, d, gx, algorithm, bytes);
      });
}
cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void* alpha, cudnnFilterDescriptor_t f, const void* fp,
                                           cudnnTensorDescriptor_t gy, const void* gyp, cudnnConvolutionDescriptor_t d,
                                           cudnnConvolutionBwdDataAlgo_t algorithm, void* workspace, std::size_t workspace_bytes,
                                           const void* beta, cudnnTensorDescriptor_t gx, void* gxp) {
  ENTER();
  std::size_t need = 0;
  NEED(given(alpha, beta, fp, gyp, gxp), bad_param);
  PASS(cudnnGetConvolutionBackwardDataWorkspaceSize(handle, f, gy, d, gx, algorithm, &need));
  NEED(workspace_bytes >= need && (workspace || need == 0), bad_param);
  NEED(runs(data_algorithms, algorithm), not_supported);
  return enqueue_pass(handle, __func__, Pass::data, *gx, *f, *d, *gy, gyp, fp, gxp, workspace, need,
                      algorithm == CUDNN_CONVOLUTION_BWD_DATA_ALGO_0, Blend(gx->type, alpha, beta));
}

// ---- filter gradient ----

cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(cudnnHandle_t handle, cudnnTensorDescriptor_t x, cudnnTensorDescriptor_t gy,
                                                             cudnnConvolutionDescriptor_t d, cudnnFilterDescriptor_t gf,
                                                             cudnnConvolutionBwdFilterAlgo_t algorithm, std::size_t* size) {
  ENTER();
  NEED(size, bad_param);
  PASS(check(__func__, handle, x, gf, d, gy));
  NEED(algorithm == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0 || algorithm == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1 ||
           algorithm == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3,
       not_supported);
  *size = algorithm == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0 ? 0 : index_bytes(gy, gf);
  return ok;
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnnHandle_t handle, cudnnTensorDescriptor_t x, cudnnTensorDescriptor_t gy,
                                                            cudnnConvolutionDescriptor_t d, cudnnFilterDescriptor_t gf, int wanted,
                                                            int* count, cudnnConvolutionBwdFilterAlgoPerf_t* proposals) {
  ENTER();
  NEED(given(count, proposals) && wanted > 0, bad_param);
  PASS(check(__func__, handle, x, gf, d, gy));
  return propose<cudnnConvolutionBwdFilterAlgoPerf_t, cudnnConvolutionBwdFilterAlgo_t>(
      d, wanted, count, proposals, weight_algorithms, {CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3},
      [&](auto algorithm, std::size_t* bytes) {
        return cudnnGetConvolutionBackwardFilterWorkspaceSize(handle, x, gy, d, gf, algorithm, bytes);
      });
}
cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void* alpha, cudnnTensorDescriptor_t x, const void* xp,
                                             cudnnTensorDescriptor_t gy, const void* gyp, cudnnConvolutionDescriptor_t d,
                                             cudnnConvolutionBwdFilterAlgo_t algorithm, void* workspace, std::size_t workspace_bytes,
                                             const void* beta, cudnnFilterDescriptor_t gf, void* gfp) {
  ENTER();
  std::size_t need = 0;
  NEED(given(alpha, beta, xp, gyp, gfp), bad_param);
  PASS(cudnnGetConvolutionBackwardFilterWorkspaceSize(handle, x, gy, d, gf, algorithm, &need));
  NEED(workspace_bytes >= need && (workspace || need == 0), bad_param);
  NEED(runs(weight_algorithms, algorithm), not_supported);
  return enqueue_pass(handle, __func__, Pass::weight, *x, *gf, *d, *gy, xp, gyp, gfp, workspace, need,
                      algorithm != CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, Blend(x->type, alpha, beta));
}
