// Convolution by cuDNN: images NHWC, filters OHWI. Which algorithms, its heuristics say once for each shape; they time nothing, and
// what they propose may turn out not to run: then the next one is taken, and for good.
#include <mica/kernels/cuda/conv2d.h>
#include <mica/kernels/cuda/cudnn.h>
#include <mica/kernels/elementwise.h>

#include <algorithm>
#include <array>

namespace mica::kernels::conv2d_cudnn {
namespace {

// Sizes that its ints hold, padding and dilation included.
bool takes(const Conv2dDims& d) {
  const i64 most = largest_window / 4;
  for (int i = 0; i < 2; ++i)
    if (d.padding[i] > most || d.stride[i] > most || d.dilation[i] > most || d.dilation[i] * ((i == 0 ? d.kh : d.kw) - 1) > most)
      return false;
  return cudnn_sizes({d.n, d.c, d.h, d.w, d.o, d.kh, d.kw, d.oh, d.ow, d.groups}) && std::max(d.h, d.w) <= most;
}

struct Convolution : OwnedConvolution {
  Convolution(const Conv2dDims& d, cudnnDataType_t type) {
    const auto at = [](const std::array<i64, 2>& pair, int i) { return static_cast<int>(pair[static_cast<std::size_t>(i)]); };
    check(MICA_CUDNN_CALL(cudnnSetConvolution2dDescriptor)(*this, at(d.padding, 0), at(d.padding, 1), at(d.stride, 0), at(d.stride, 1),
                                                           at(d.dilation, 0), at(d.dilation, 1), CUDNN_CROSS_CORRELATION, type),
          "cudnnSetConvolution2dDescriptor");
    check(MICA_CUDNN_CALL(cudnnSetConvolutionGroupCount)(*this, static_cast<int>(d.groups)), "cudnnSetConvolutionGroupCount");
  }
  void set_math(cudnnMathType_t math) const {
    check(MICA_CUDNN_CALL(cudnnSetConvolutionMathType)(*this, math), "cudnnSetConvolutionMathType");
  }
};

struct Descriptors {
  TensorDescriptor x, y;  // or their gradients
  FilterDescriptor w;
  Convolution convolution;

  Descriptors(const Conv2dDims& d, cudnnDataType_t type)
      : x(type, CUDNN_TENSOR_NHWC, d.n, d.c, d.h, d.w),
        y(type, CUDNN_TENSOR_NHWC, d.n, d.o, d.oh, d.ow),
        w(type, d.o, d.c / d.groups, d.kh, d.kw),
        convolution(d, type) {}
};

// ---- the three passes: their algorithms, and what those need ----

struct Forward {
  static constexpr i64 number = 0;
  static constexpr std::size_t most = CUDNN_CONVOLUTION_FWD_ALGO_COUNT;
  using Algorithm = cudnnConvolutionFwdAlgo_t;
  using Proposal = cudnnConvolutionFwdAlgoPerf_t;
  static cudnnStatus_t propose(cudnnHandle_t handle, const Descriptors& d, int* count, Proposal* proposals) {
    return MICA_CUDNN_CALL(cudnnGetConvolutionForwardAlgorithm_v7)(handle, d.x, d.w, d.convolution, d.y, most, count, proposals);
  }
  static cudnnStatus_t workspace(cudnnHandle_t handle, const Descriptors& d, Algorithm algorithm, std::size_t* bytes) {
    return MICA_CUDNN_CALL(cudnnGetConvolutionForwardWorkspaceSize)(handle, d.x, d.w, d.convolution, d.y, algorithm, bytes);
  }
};

struct BackwardData {
  static constexpr i64 number = 1;
  static constexpr std::size_t most = CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT;
  using Algorithm = cudnnConvolutionBwdDataAlgo_t;
  using Proposal = cudnnConvolutionBwdDataAlgoPerf_t;
  static cudnnStatus_t propose(cudnnHandle_t handle, const Descriptors& d, int* count, Proposal* proposals) {
    return MICA_CUDNN_CALL(cudnnGetConvolutionBackwardDataAlgorithm_v7)(handle, d.w, d.y, d.convolution, d.x, most, count, proposals);
  }
  static cudnnStatus_t workspace(cudnnHandle_t handle, const Descriptors& d, Algorithm algorithm, std::size_t* bytes) {
    return MICA_CUDNN_CALL(cudnnGetConvolutionBackwardDataWorkspaceSize)(handle, d.w, d.y, d.convolution, d.x, algorithm, bytes);
  }
};

struct BackwardWeight {
  static constexpr i64 number = 2;
  static constexpr std::size_t most = CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT;
  using Algorithm = cudnnConvolutionBwdFilterAlgo_t;
  using Proposal = cudnnConvolutionBwdFilterAlgoPerf_t;
  static cudnnStatus_t propose(cudnnHandle_t handle, const Descriptors& d, int* count, Proposal* proposals) {
    return MICA_CUDNN_CALL(cudnnGetConvolutionBackwardFilterAlgorithm_v7)(handle, d.x, d.y, d.convolution, d.w, most, count, proposals);
  }
  static cudnnStatus_t workspace(cudnnHandle_t handle, const Descriptors& d, Algorithm algorithm, std::size_t* bytes) {
    return MICA_CUDNN_CALL(cudnnGetConvolutionBackwardFilterWorkspaceSize)(handle, d.x, d.y, d.convolution, d.w, algorithm, bytes);
  }
};

// ---- choosing ----

// What must stay as it was while a choice is used; TF32 is for f32 alone.
struct Limits {
  bool tf32, deterministic;
  std::size_t workspace;
};

Cudnn::ConvolutionKey key_of(i64 pass, cudnnDataType_t type, const Conv2dDims& d, const Limits& limits) {
  Cudnn::ConvolutionKey key{pass, type, d.n, d.c, d.h, d.w, d.o, d.kh, d.kw, d.oh, d.ow, d.groups};
  for (const auto& pair : {d.stride, d.padding, d.dilation}) key.insert(key.end(), pair.begin(), pair.end());
  key.insert(key.end(), {limits.tf32, limits.deterministic, static_cast<i64>(limits.workspace)});
  return key;
}

// CUDNN_DEFAULT_MATH lets f32 be rounded to TF32, CUDNN_FMA_MATH does not.
template <class Pass>
std::vector<ConvolutionChoice> choose(cudnnHandle_t handle, const Descriptors& d, cudnnDataType_t type, const Limits& limits) {
  const bool full = type == CUDNN_DATA_FLOAT && !limits.tf32;
  std::array<typename Pass::Proposal, Pass::most> proposals;
  int count = 0;
  d.convolution.set_math(full ? CUDNN_FMA_MATH : CUDNN_DEFAULT_MATH);
  if (!supported(Pass::propose(handle, d, &count, proposals.data()), "asking for a convolution's algorithms")) return {};
  std::vector<ConvolutionChoice> choices;
  for (int i = 0; i < count; ++i) {
    const auto& proposal = proposals[static_cast<std::size_t>(i)];
    if (proposal.status != CUDNN_STATUS_SUCCESS || (limits.deterministic && proposal.determinism != CUDNN_DETERMINISTIC)) continue;
    ConvolutionChoice choice{proposal.algo, full ? CUDNN_FMA_MATH : proposal.mathType, 0};
    d.convolution.set_math(choice.math);
    if (supported(Pass::workspace(handle, d, proposal.algo, &choice.workspace), "asking for a convolution's workspace") &&
        choice.workspace <= limits.workspace)
      choices.push_back(choice);
  }
  return choices;
}

template <class Pass>
std::vector<ConvolutionChoice>& choices_for(Cudnn& cudnn, const Conv2dDims& dims, const Descriptors& d, cudnnDataType_t type, const Settings& settings) {
  const Limits limits{settings.cudnn_tf32 && type == CUDNN_DATA_FLOAT, settings.deterministic, settings.workspace_bytes};
  return cudnn.convolutions.get(key_of(Pass::number, type, dims, limits), [&] { return choose<Pass>(cudnn.handle(), d, type, limits); });
}

// call(handle, descriptors, algorithm, workspace, its bytes), with the first algorithm for this shape that runs.
template <class Pass, class F>
bool run(Cuda& cuda, const Conv2dDims& dims, cudnnDataType_t type, std::initializer_list<const void*> pointers, const char* what, const F& call) {
  if (!takes(dims) || !cudnn_aligned(pointers)) return false;
  Cudnn& cudnn = *cuda.cudnn();
  const std::lock_guard lock(cudnn.mutex());
  const Descriptors d(dims, type);
  std::vector<ConvolutionChoice>& choices = choices_for<Pass>(cudnn, dims, d, type, cuda.settings());
  for (; !choices.empty(); choices.erase(choices.begin())) {
    const ConvolutionChoice& best = choices.front();
    d.convolution.set_math(best.math);
    const auto workspace = cuda.scratch<char>(static_cast<i64>(best.workspace));
    if (started(call(cudnn.handle(), d, static_cast<typename Pass::Algorithm>(best.algorithm), workspace.get(), best.workspace), what))
      return true;
  }
  return false;
}

// y += bias. cuDNN's own addition is said to be slow for NHWC.
template <class T>
void add_bias(Cuda& cuda, const Conv2dDims& d, const T* bias, T* y) {
  binary_forward(cuda, Add{}, 2, {d.n * d.oh * d.ow, d.o}, {d.o, 1}, y, {0, 1}, bias, y);
}

}  // namespace

template <class T>
bool forward(Cuda& cuda, const Conv2dDims& dims, const T* x, const T* w, const T* bias, T* y) {
  const bool done =
      run<Forward>(cuda, dims, cudnn_type<T>, {x, w, y}, "cudnnConvolutionForward", [&](auto handle, const Descriptors& d, auto... with) {
        return MICA_CUDNN_CALL(cudnnConvolutionForward)(handle, &cudnn_one<T>, d.x, x, d.w, w, d.convolution, with..., &cudnn_zero<T>, d.y,
                                                        y);
      });
  if (done && bias) add_bias(cuda, dims, bias, y);
  return done;
}

template <class T>
bool backward_data(Cuda& cuda, const Conv2dDims& dims, const T* gy, const T* w, T* gx) {
  return run<BackwardData>(cuda, dims, cudnn_type<T>, {gy, w, gx}, "cudnnConvolutionBackwardData", [&](auto handle, const Descriptors& d, auto... with) {
    return MICA_CUDNN_CALL(cudnnConvolutionBackwardData)(handle, &cudnn_one<T>, d.w, w, d.y, gy, d.convolution, with..., &cudnn_zero<T>,
                                                         d.x, gx);
  });
}

template <class T>
bool backward_weight(Cuda& cuda, const Conv2dDims& dims, const T* x, const T* gy, T* gw) {
  return run<BackwardWeight>(cuda, dims, cudnn_type<T>, {x, gy, gw}, "cudnnConvolutionBackwardFilter",
                             [&](auto handle, const Descriptors& d, auto... with) {
                               return MICA_CUDNN_CALL(cudnnConvolutionBackwardFilter)(handle, &cudnn_one<T>, d.x, x, d.y, gy, d.convolution,
                                                                                      with..., &cudnn_zero<T>, d.w, gw);
                             });
}

#define MICA_FLOATING(T)                                                             \
  template bool forward(Cuda&, const Conv2dDims&, const T*, const T*, const T*, T*); \
  template bool backward_data(Cuda&, const Conv2dDims&, const T*, const T*, T*);     \
  template bool backward_weight(Cuda&, const Conv2dDims&, const T*, const T*, T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels::conv2d_cudnn
