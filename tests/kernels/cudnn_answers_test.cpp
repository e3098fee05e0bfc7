// What cuDNN answers without a GPU: calls on descriptors, and calls that it refuses.
#ifdef MICA_CUDNN

#include "answers.h"

#include <mica/kernels/cuda/cudnn.h>

#include <fmt/format.h>

using namespace mica::kernels;

namespace {

constexpr auto nhwc = CUDNN_TENSOR_NHWC, nchw = CUDNN_TENSOR_NCHW;
constexpr auto f32 = CUDNN_DATA_FLOAT, f64 = CUDNN_DATA_DOUBLE;
constexpr auto correlate = CUDNN_CROSS_CORRELATION;
constexpr auto nan = CUDNN_PROPAGATE_NAN;

// A line for each call: its status, and the call as it is written here.
class Answers {
 public:
  void add(cudnnStatus_t status, const char* call) { text_ += fmt::format("{:<5}{}\n", static_cast<int>(status), call); }
  template <class... V>
  void values(const V&... values) {
    text_ += "     ";
    ((text_ += fmt::format("{} ", values)), ...);
    text_.back() = '\n';
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

#define ASK(function, ...) answers.add(MICA_CUDNN_CALL(function)(__VA_ARGS__), #function "(" #__VA_ARGS__ ")")

void tensors(Answers& answers) {
  cudnnTensorDescriptor_t x = nullptr;
  cudnnDataType_t type{};
  std::size_t size = 0;
  int n = 0, c = 0, h = 0, w = 0, sn = 0, sc = 0, sh = 0, sw = 0;
  ASK(cudnnCreateTensorDescriptor, &x);
  ASK(cudnnGetTensorSizeInBytes, x, &size), answers.values(size);
  ASK(cudnnSetTensor4dDescriptor, nullptr, nhwc, f32, 1, 3, 8, 8);
  ASK(cudnnSetTensor4dDescriptor, x, nhwc, f32, 0, 3, 8, 8);
  ASK(cudnnSetTensor4dDescriptor, x, nhwc, f32, 2, 0, 8, 8);
  ASK(cudnnSetTensor4dDescriptor, x, nhwc, f32, -1, 3, 8, 8);
  ASK(cudnnSetTensor4dDescriptor, x, CUDNN_TENSOR_NCHW_VECT_C, f32, 1, 4, 8, 8);
  ASK(cudnnSetTensor4dDescriptor, x, nhwc, f32, 46341, 1, 46341, 1);
  ASK(cudnnSetTensor4dDescriptor, x, nhwc, f32, 1, 1, 1, 2147483647);
  ASK(cudnnSetTensor4dDescriptor, x, nchw, f32, 1, 1, 1, 2147483647);
  ASK(cudnnGetTensorSizeInBytes, x, &size), answers.values(size);
  ASK(cudnnSetTensor4dDescriptorEx, x, f32, 2, 3, 8, 8, 1, 1, 1, 1);  // that elements share places is not looked at
  ASK(cudnnGetTensorSizeInBytes, x, &size), answers.values(size);
  ASK(cudnnSetTensor4dDescriptorEx, x, f32, 2, 3, 8, 8, 0, 1, 1, 1);
  ASK(cudnnSetTensor4dDescriptorEx, x, f32, 0, 3, 8, 8, 1, 1, 1, 1);
  ASK(cudnnSetTensor4dDescriptorEx, nullptr, f32, 2, 3, 8, 8, 1, 1, 1, 1);
  ASK(cudnnSetTensor4dDescriptor, x, nhwc, f64, 2, 3, 8, 9);
  ASK(cudnnGetTensor4dDescriptor, x, &type, &n, &c, &h, &w, &sn, &sc, &sh, &sw),
      answers.values(static_cast<int>(type), n, c, h, w, sn, sc, sh, sw);
  ASK(cudnnGetTensorSizeInBytes, x, &size), answers.values(size);
  ASK(cudnnSetTensor4dDescriptor, x, nchw, f32, 2, 3, 8, 9);
  ASK(cudnnGetTensor4dDescriptor, x, &type, &n, &c, &h, &w, &sn, &sc, &sh, &sw),
      answers.values(static_cast<int>(type), n, c, h, w, sn, sc, sh, sw);
  ASK(cudnnDestroyTensorDescriptor, x);
}

void convolutions(Answers& answers) {
  cudnnTensorDescriptor_t x = nullptr, y = nullptr;
  cudnnFilterDescriptor_t f = nullptr;
  cudnnConvolutionDescriptor_t d = nullptr;
  int n = 0, c = 0, h = 0, w = 0;
  std::size_t size = 0;
  ASK(cudnnCreateTensorDescriptor, &x), ASK(cudnnCreateTensorDescriptor, &y), ASK(cudnnCreateFilterDescriptor, &f),
      ASK(cudnnCreateConvolutionDescriptor, &d);
  ASK(cudnnGetConvolution2dForwardOutputDim, d, x, f, &n, &c, &h, &w);  // nothing is set
  ASK(cudnnSetTensor4dDescriptor, x, nhwc, f32, 2, 4, 8, 9);
  ASK(cudnnSetFilter4dDescriptor, nullptr, f32, nhwc, 4, 4, 3, 3);
  ASK(cudnnSetFilter4dDescriptor, f, f32, nhwc, 4, 0, 3, 3);
  ASK(cudnnSetFilter4dDescriptor, f, f32, nhwc, 0, 4, 3, 3);
  ASK(cudnnSetFilter4dDescriptor, f, f32, nhwc, 6, 4, 3, 3);
  ASK(cudnnGetConvolution2dForwardOutputDim, d, x, f, &n, &c, &h, &w);  // the convolution is not
  ASK(cudnnSetConvolution2dDescriptor, d, -1, 1, 2, 2, 1, 1, correlate, f32);
  ASK(cudnnSetConvolution2dDescriptor, d, 1, 1, 2, 2, 1, 0, correlate, f32);
  ASK(cudnnSetConvolution2dDescriptor, d, 1, 1, 0, 2, 1, 1, correlate, f32);
  ASK(cudnnSetConvolution2dDescriptor, nullptr, 1, 1, 2, 2, 1, 1, correlate, f32);
  ASK(cudnnSetConvolution2dDescriptor, d, 1, 0, 2, 1, 1, 2, correlate, f32);
  ASK(cudnnGetConvolution2dForwardOutputDim, d, x, f, &n, &c, &h, &w), answers.values(n, c, h, w);
  ASK(cudnnSetConvolution2dDescriptor, d, 7, 9, 3, 5, 4, 1, correlate, f64);
  ASK(cudnnGetConvolution2dForwardOutputDim, d, x, f, &n, &c, &h, &w), answers.values(n, c, h, w);
  ASK(cudnnSetConvolution2dDescriptor, d, 1, 1, 1, 1, 1, 1, correlate, f32);
  ASK(cudnnSetConvolutionMathType, d, CUDNN_FMA_MATH);
  ASK(cudnnSetConvolutionMathType, d, CUDNN_DEFAULT_MATH);
  ASK(cudnnSetConvolutionMathType, nullptr, CUDNN_FMA_MATH);
  ASK(cudnnSetConvolutionGroupCount, d, 0);
  ASK(cudnnSetConvolutionGroupCount, nullptr, 2);
  ASK(cudnnSetConvolutionGroupCount, d, 2);
  ASK(cudnnGetConvolution2dForwardOutputDim, d, x, f, &n, &c, &h, &w);  // filters of 4 channels, where a group has 2
  ASK(cudnnSetFilter4dDescriptor, f, f32, nhwc, 6, 2, 3, 3);
  ASK(cudnnGetConvolution2dForwardOutputDim, d, x, f, &n, &c, &h, &w), answers.values(n, c, h, w);
  ASK(cudnnSetFilter4dDescriptor, f, f32, nhwc, 5, 2, 3, 3);
  ASK(cudnnGetConvolution2dForwardOutputDim, d, x, f, &n, &c, &h, &w);  // 5 filters in 2 groups
  ASK(cudnnSetConvolutionGroupCount, d, 1);
  ASK(cudnnSetFilter4dDescriptor, f, f32, nhwc, 6, 5, 3, 3);
  ASK(cudnnGetConvolution2dForwardOutputDim, d, x, f, &n, &c, &h, &w);  // channels differ
  ASK(cudnnSetFilter4dDescriptor, f, f32, nhwc, 6, 4, 30, 30);
  ASK(cudnnGetConvolution2dForwardOutputDim, d, x, f, &n, &c, &h, &w);  // a filter larger than the image
  ASK(cudnnSetFilter4dDescriptor, f, f32, nchw, 6, 4, 3, 3);
  ASK(cudnnGetConvolution2dForwardOutputDim, d, x, f, &n, &c, &h, &w);  // layouts differ
  ASK(cudnnSetFilter4dDescriptor, f, f64, nhwc, 6, 4, 3, 3);
  ASK(cudnnGetConvolution2dForwardOutputDim, d, x, f, &n, &c, &h, &w);  // types differ
  ASK(cudnnSetTensor4dDescriptor, y, nhwc, f32, 2, 6, 8, 9);
  ASK(cudnnSetFilter4dDescriptor, f, f32, nhwc, 6, 4, 3, 3);
  ASK(cudnnGetConvolutionForwardWorkspaceSize, nullptr, x, f, d, y, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, &size);
  ASK(cudnnGetConvolutionBackwardDataWorkspaceSize, nullptr, f, y, d, x, CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, &size);
  ASK(cudnnGetConvolutionBackwardFilterWorkspaceSize, nullptr, x, y, d, f, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, &size);
  ASK(cudnnDestroyTensorDescriptor, x), ASK(cudnnDestroyTensorDescriptor, y), ASK(cudnnDestroyFilterDescriptor, f),
      ASK(cudnnDestroyConvolutionDescriptor, d);
}

void pooling(Answers& answers) {
  cudnnTensorDescriptor_t x = nullptr;
  cudnnPoolingDescriptor_t d = nullptr;
  int n = 0, c = 0, h = 0, w = 0;
  ASK(cudnnCreateTensorDescriptor, &x), ASK(cudnnCreatePoolingDescriptor, &d);
  ASK(cudnnSetTensor4dDescriptor, x, nhwc, f32, 2, 3, 8, 9);
  ASK(cudnnGetPooling2dForwardOutputDim, d, x, &n, &c, &h, &w);  // not set
  ASK(cudnnSetPooling2dDescriptor, nullptr, CUDNN_POOLING_MAX, nan, 2, 2, 0, 0, 2, 2);
  ASK(cudnnSetPooling2dDescriptor, d, CUDNN_POOLING_MAX, nan, 0, 2, 0, 0, 2, 2);
  ASK(cudnnSetPooling2dDescriptor, d, CUDNN_POOLING_MAX, nan, 2, 2, -1, 0, 2, 2);
  ASK(cudnnSetPooling2dDescriptor, d, CUDNN_POOLING_MAX, nan, 2, 2, 0, 0, 0, 2);
  ASK(cudnnSetPooling2dDescriptor, d, static_cast<cudnnPoolingMode_t>(9), nan, 2, 2, 0, 0, 2, 2);
  ASK(cudnnSetPooling2dDescriptor, d, CUDNN_POOLING_MAX, nan, 2, 2, 2, 2, 2, 2);  // padding as wide as the window
  ASK(cudnnGetPooling2dForwardOutputDim, d, x, &n, &c, &h, &w), answers.values(n, c, h, w);
  ASK(cudnnSetPooling2dDescriptor, d, CUDNN_POOLING_MAX_DETERMINISTIC, nan, 3, 2, 1, 0, 2, 2);
  ASK(cudnnGetPooling2dForwardOutputDim, d, x, &n, &c, &h, &w), answers.values(n, c, h, w);
  ASK(cudnnSetPooling2dDescriptor, d, CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING, nan, 3, 3, 1, 1, 3, 4);
  ASK(cudnnGetPooling2dForwardOutputDim, d, x, &n, &c, &h, &w), answers.values(n, c, h, w);
  ASK(cudnnSetPooling2dDescriptor, d, CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING, nan, 8, 9, 0, 0, 8, 9);
  ASK(cudnnGetPooling2dForwardOutputDim, d, x, &n, &c, &h, &w), answers.values(n, c, h, w);
  ASK(cudnnDestroyTensorDescriptor, x), ASK(cudnnDestroyPoolingDescriptor, d);
}

void batch_norm_and_dropout(Answers& answers) {
  cudnnTensorDescriptor_t x = nullptr, bn = nullptr;
  cudnnDropoutDescriptor_t d = nullptr;
  cudnnDataType_t type{};
  std::size_t size = 0;
  int n = 0, c = 0, h = 0, w = 0, sn = 0, sc = 0, sh = 0, sw = 0;
  ASK(cudnnCreateTensorDescriptor, &x), ASK(cudnnCreateTensorDescriptor, &bn), ASK(cudnnCreateDropoutDescriptor, &d);
  ASK(cudnnDeriveBNTensorDescriptor, bn, x, CUDNN_BATCHNORM_SPATIAL);  // nothing is set
  ASK(cudnnDropoutGetReserveSpaceSize, x, &size);
  ASK(cudnnSetTensor4dDescriptor, x, nhwc, f64, 2, 3, 8, 9);
  ASK(cudnnDeriveBNTensorDescriptor, nullptr, x, CUDNN_BATCHNORM_SPATIAL);
  ASK(cudnnDeriveBNTensorDescriptor, bn, x, CUDNN_BATCHNORM_SPATIAL);
  ASK(cudnnGetTensor4dDescriptor, bn, &type, &n, &c, &h, &w, &sn, &sc, &sh, &sw), answers.values(static_cast<int>(type), n, c, h, w);
  ASK(cudnnSetTensor4dDescriptor, x, nhwc, f32, 2, 3, 8, 9);
  ASK(cudnnDeriveBNTensorDescriptor, bn, x, CUDNN_BATCHNORM_PER_ACTIVATION);
  ASK(cudnnGetTensor4dDescriptor, bn, &type, &n, &c, &h, &w, &sn, &sc, &sh, &sw), answers.values(static_cast<int>(type), n, c, h, w);
  ASK(cudnnDropoutGetReserveSpaceSize, x, &size), answers.values(size);
  ASK(cudnnSetTensor4dDescriptor, x, nchw, f64, 1, 1, 1, 64);
  ASK(cudnnDropoutGetReserveSpaceSize, x, &size), answers.values(size);
  ASK(cudnnSetTensor4dDescriptor, x, nchw, f32, 1, 1, 1, 65);
  ASK(cudnnDropoutGetReserveSpaceSize, x, &size), answers.values(size);
  ASK(cudnnDropoutGetReserveSpaceSize, nullptr, &size);
  ASK(cudnnDropoutGetStatesSize, nullptr, &size);
  ASK(cudnnSetDropoutDescriptor, d, nullptr, 0.5F, nullptr, 0, 1);
  ASK(cudnnRestoreDropoutDescriptor, d, nullptr, 0.5F, nullptr, 0, 1);
  ASK(cudnnSetStream, nullptr, nullptr);
  ASK(cudnnDestroyTensorDescriptor, x), ASK(cudnnDestroyTensorDescriptor, bn), ASK(cudnnDestroyDropoutDescriptor, d);
  for (const cudnnStatus_t status : {CUDNN_STATUS_SUCCESS, CUDNN_STATUS_BAD_PARAM, CUDNN_STATUS_NOT_SUPPORTED, CUDNN_STATUS_NOT_INITIALIZED,
                                     CUDNN_STATUS_INTERNAL_ERROR, CUDNN_STATUS_EXECUTION_FAILED, CUDNN_STATUS_EXECUTION_FAILED_CUDART})
    answers.values(static_cast<int>(status), MICA_CUDNN_CALL(cudnnGetErrorString)(status));
}

}  // namespace

TEST_CASE("cuDNN answers as the real one does where that needs no GPU", "[cuda][cudnn][answers]") {
  if (const std::string reason = why_no_cudnn(); !reason.empty()) {
    WARN("skipped: " << reason);
    return;
  }
  Answers answers;
  tensors(answers), convolutions(answers), pooling(answers), batch_norm_and_dropout(answers);
  const std::size_t version = MICA_CUDNN_CALL(cudnnGetVersion)();  // 9.19.0 is 91900
  mica::test::check_answers("cudnn_answers.txt", fmt::format("cuDNN {}.{}.{}", version / 10000, version / 100 % 100, version % 100), answers.text());
}

#endif
