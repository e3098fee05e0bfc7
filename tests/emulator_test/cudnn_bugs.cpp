// cuDNN called wrongly: descriptors, workspaces, streams, factors, memory that it still needs, what is not given back.
#ifdef MICA_CUDNN

#include "planted.h"

#include <emulator/cudnn.h>

#include <mica/kernels/cuda/cudnn.h>

#include <algorithm>

namespace planted {
namespace {

using namespace mica::kernels;

constexpr cudnnDataType_t f32 = CUDNN_DATA_FLOAT;
constexpr auto nhwc = CUDNN_TENSOR_NHWC;

// y = x ∗ w, all of x and w ones: 4×4 pixels of 4 channels, filters 2×(2×2×4), so that y is 3×3×2 times 16.
struct Layer {
  Bench& b;
  Cudnn cudnn{b.cuda.stream()};
  Scratch<float> x{b.memory, 64}, w{b.memory, 32}, y{b.memory, 18};
  TensorDescriptor dx{f32, nhwc, 1, 4, 4, 4}, dy{f32, nhwc, 1, 2, 3, 3};
  FilterDescriptor dw{f32, 2, 4, 2, 2};
  OwnedConvolution convolution;
  cudnnConvolutionFwdAlgo_t algorithm = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM;

  explicit Layer(Bench& bench) : b(bench) {
    check(MICA_CUDNN_CALL(cudnnSetConvolution2dDescriptor)(convolution, 0, 0, 1, 1, 1, 1, CUDNN_CROSS_CORRELATION, f32),
          "describing a convolution");
    fill(b.cuda, x.get(), 1, 64), fill(b.cuda, w.get(), 1, 32);
  }
  void run(void* workspace = nullptr, std::size_t bytes = 0, float beta = 0) {
    check(MICA_CUDNN_CALL(cudnnConvolutionForward)(cudnn.handle(), &cudnn_one<float>, dx, x.get(), dw, w.get(), convolution, algorithm,
                                                   workspace, bytes, &beta, dy, y.get()),
          "cudnnConvolutionForward");
  }
  void expect_result() const {
    const std::vector<float> values = host(b.cuda, y.get(), 18);
    expect(std::ranges::all_of(values, [](float v) { return v == 16; }), "wrong result");
  }
  std::size_t workspace_bytes() {
    algorithm = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
    std::size_t bytes = 0;
    check(MICA_CUDNN_CALL(cudnnGetConvolutionForwardWorkspaceSize)(cudnn.handle(), dx, dw, convolution, dy, algorithm, &bytes),
          "asking for a workspace");
    return bytes;
  }
};

std::vector<Program> descriptors() {
  return {
      {"cuDNN: output of other sizes", "CUDNN_STATUS_BAD_PARAM.*y->h == h", always,
       [](Bench& b, bool bug) {
         Layer layer(b);
         if (bug) layer.dy = TensorDescriptor(f32, nhwc, 1, 2, 4, 4);
         layer.run(), layer.expect_result();
       }},
      {"cuDNN: an image's layout beside the filter's", "CUDNN_STATUS_NOT_SUPPORTED", always,
       [](Bench& b, bool bug) {
         Layer layer(b);
         if (bug) layer.dx = TensorDescriptor(f32, CUDNN_TENSOR_NCHW, 1, 4, 4, 4);
         layer.run(), layer.expect_result();
       }},
      {"cuDNN: rows further apart than they are", "which is not device memory of that size", always,
       [](Bench& b, bool bug) {
         Layer layer(b);
         check(MICA_CUDNN_CALL(cudnnSetTensor4dDescriptorEx)(layer.dx, f32, 1, 4, 4, 4, 64, 1, bug ? 20 : 16, 4), "describing an image");
         layer.run(), layer.expect_result();
       }},
      {"cuDNN: pixels closer than they are", "wrong result", always,
       [](Bench& b, bool bug) {
         Layer layer(b);
         for (int pixel = 0; pixel < 16; pixel += 2) fill(b.cuda, layer.x.get() + 4 * pixel, 3, 4);  // every second column
         check(MICA_CUDNN_CALL(cudnnSetTensor4dDescriptorEx)(layer.dx, f32, 1, 4, 4, 4, 64, 1, 16, bug ? 1 : 4), "describing an image");
         layer.run();
         expect(host(b.cuda, layer.y.get(), 18)[0] == 32, "wrong result");
       }},
      {"cuDNN: a group count that does not fit", "CUDNN_STATUS_BAD_PARAM.*groups", always,
       [](Bench& b, bool bug) {
         Layer layer(b);
         if (bug) check(MICA_CUDNN_CALL(cudnnSetConvolutionGroupCount)(layer.convolution, 2), "cudnnSetConvolutionGroupCount");
         layer.run(), layer.expect_result();
       }},
      {"cuDNN: a refusal that nobody looks at", "wrong result", always,
       [](Bench& b, bool bug) {
         Layer layer(b);
         const float zero = 0;
         (void)MICA_CUDNN_CALL(cudnnConvolutionForward)(layer.cudnn.handle(), &cudnn_one<float>, layer.dx, bug ? nullptr : layer.x.get(),
                                                        layer.dw, layer.w.get(), layer.convolution, layer.algorithm, nullptr, 0, &zero,
                                                        layer.dy, layer.y.get());
         layer.expect_result();
       }},
      {"cuDNN: a descriptor leaked", "leak: 1 cudnn descriptor", always,
       [](Bench&, bool bug) {
         cudnnTensorDescriptor_t descriptor = nullptr;
         check(MICA_CUDNN_CALL(cudnnCreateTensorDescriptor)(&descriptor), "cudnnCreateTensorDescriptor");
         if (!bug) check(MICA_CUDNN_CALL(cudnnDestroyTensorDescriptor)(descriptor), "cudnnDestroyTensorDescriptor");
       }},
      {"cuDNN: a handle leaked", "leak: 1 cudnn handle", always,
       [](Bench&, bool bug) {
         cudnnHandle_t handle = nullptr;
         check(MICA_CUDNN_CALL(cudnnCreate)(&handle), "cudnnCreate");
         if (!bug) check(MICA_CUDNN_CALL(cudnnDestroy)(handle), "cudnnDestroy");
       }},
  };
}

std::vector<Program> memory() {
  return {
      {"cuDNN: a workspace that is said to be too small", "CUDNN_STATUS_BAD_PARAM.*workspace_bytes >= need", always,
       [](Bench& b, bool bug) {
         Layer layer(b);
         const std::size_t bytes = layer.workspace_bytes();
         const Scratch<char> workspace(b.memory, static_cast<std::int64_t>(bytes));
         layer.run(workspace.get(), bug ? bytes - 1 : bytes), layer.expect_result();
       }},
      {"cuDNN: a workspace smaller than was said", "which is not device memory of that size", always,
       [](Bench& b, bool bug) {
         Layer layer(b);
         const std::size_t bytes = layer.workspace_bytes();
         const Scratch<char> workspace(b.memory, static_cast<std::int64_t>(bug ? bytes / 2 : bytes));
         layer.run(workspace.get(), bytes), layer.expect_result();
       }},
      {"cuDNN: the result as its own workspace", "wrong result", always,
       [](Bench& b, bool bug) {
         Layer layer(b);
         const std::size_t bytes = layer.workspace_bytes();
         const Scratch<char> workspace(b.memory, static_cast<std::int64_t>(bytes));
         fill(b.cuda, b.d, 1, 64);
         layer.run(bug ? static_cast<void*>(b.d) : workspace.get(), bytes);
         expect(host(b.cuda, b.d, 64)[0] == 1, "wrong result");  // memory of somebody else
       }},
      {"cuDNN: an image freed while the convolution is queued", "which is freed memory", late,
       [](Bench& b, bool bug) {
         Layer layer(b);
         void* const x = b.memory.allocate(64 * sizeof(float));
         fill(b.cuda, static_cast<float*>(x), 1, 64);
         check(MICA_CUDNN_CALL(cudnnConvolutionForward)(layer.cudnn.handle(), &cudnn_one<float>, layer.dx, x, layer.dw, layer.w.get(),
                                                        layer.convolution, layer.algorithm, nullptr, 0, &cudnn_zero<float>, layer.dy,
                                                        layer.y.get()),
               "cudnnConvolutionForward");
         if (!bug) b.cuda.stream().synchronize();
         check(cudaFree(x));
         layer.expect_result();
       }},
      {"cuDNN: adding to a result that nothing wrote", "wrong result", always,
       [](Bench& b, bool bug) {
         Layer layer(b);
         layer.run(nullptr, 0, bug ? 1 : 0), layer.expect_result();
       }},
      {"cuDNN: a handle on the default stream", "wrong result", late,
       [](Bench& b, bool bug) {
         Layer layer(b);
         if (bug) check(MICA_CUDNN_CALL(cudnnSetStream)(layer.cudnn.handle(), nullptr), "cudnnSetStream");
         layer.run(), layer.expect_result();
       }},
      {"cuDNN: a handle on another context's stream", "wrong result", late,
       [](Bench& b, bool bug) {
         Cuda other(0, b.memory, b.settings);
         Layer layer(b);
         if (bug) check(MICA_CUDNN_CALL(cudnnSetStream)(layer.cudnn.handle(), other.stream().get()), "cudnnSetStream");
         layer.run(), layer.expect_result();
         other.stream().synchronize();
       }},
  };
}

// 64 elements through dropout, and back.
struct Drop {
  Bench& b;
  Cudnn cudnn{b.cuda.stream()};
  TensorDescriptor d{f32, CUDNN_TENSOR_NCHW, 1, 1, 1, 64};
  OwnedDropout dropout;
  Scratch<float> x{b.memory, 64}, y{b.memory, 64}, gx{b.memory, 64};
  Scratch<char> states;
  std::size_t reserve_bytes = 0;

  explicit Drop(Bench& bench) : b(bench), states(b.memory, state_bytes()) {
    check(MICA_CUDNN_CALL(cudnnDropoutGetReserveSpaceSize)(d, &reserve_bytes), "asking for the reserve");
    seed(1);
    fill(b.cuda, x.get(), 1, 64);
  }
  std::int64_t state_bytes() {
    std::size_t bytes = 0;
    check(MICA_CUDNN_CALL(cudnnDropoutGetStatesSize)(cudnn.handle(), &bytes), "asking for the states");
    return static_cast<std::int64_t>(bytes);
  }
  void seed(unsigned long long value) {
    check(MICA_CUDNN_CALL(cudnnSetDropoutDescriptor)(dropout, cudnn.handle(), 0.5F, states.get(), static_cast<std::size_t>(state_bytes()),
                                                     value),
          "cudnnSetDropoutDescriptor");
  }
  void forward(void* reserve) {
    check(MICA_CUDNN_CALL(cudnnDropoutForward)(cudnn.handle(), dropout, d, x.get(), d, y.get(), reserve, reserve_bytes),
          "cudnnDropoutForward");
  }
  void backward(void* reserve) {
    check(MICA_CUDNN_CALL(cudnnDropoutBackward)(cudnn.handle(), dropout, d, x.get(), d, gx.get(), reserve, reserve_bytes),
          "cudnnDropoutBackward");
  }
  void expect_same_mask() { expect(host(b.cuda, y.get(), 64) == host(b.cuda, gx.get(), 64), "wrong result"); }
};

std::vector<Program> dropouts() {
  return {
      {"cuDNN: dropout's reserve freed before its gradient", "which is freed memory", always,
       [](Bench& b, bool bug) {
         Drop drop(b);
         void* const reserve = b.memory.allocate(drop.reserve_bytes);
         drop.forward(reserve);
         if (bug) b.memory.free(reserve, drop.reserve_bytes);
         drop.backward(reserve), drop.expect_same_mask();
         if (!bug) b.memory.free(reserve, drop.reserve_bytes);
       }},
      {"cuDNN: dropout's reserve used by two calls", "wrong result", always,
       [](Bench& b, bool bug) {
         Drop drop(b);
         const Scratch<char> one(b.memory, 256), other(b.memory, 256);
         drop.forward(one.get());
         const std::vector<float> first = host(b.cuda, drop.y.get(), 64);
         drop.forward(bug ? one.get() : other.get());
         drop.backward(one.get());
         expect(host(b.cuda, drop.gx.get(), 64) == first, "wrong result");
       }},
      {"cuDNN: dropout's reserve too small", "CUDNN_STATUS_BAD_PARAM.*reserve_bytes >= need", always,
       [](Bench& b, bool bug) {
         Drop drop(b);
         const Scratch<char> reserve(b.memory, 256);
         if (bug) drop.reserve_bytes = 7;
         drop.forward(reserve.get()), drop.backward(reserve.get()), drop.expect_same_mask();
       }},
      {"cuDNN: dropout seeded anew for every call", "wrong result", always,
       [](Bench& b, bool bug) {
         Drop drop(b);
         const Scratch<char> reserve(b.memory, 256);
         drop.forward(reserve.get());
         const std::vector<float> first = host(b.cuda, drop.y.get(), 64);
         if (bug) drop.seed(1);
         drop.forward(reserve.get());
         expect(host(b.cuda, drop.y.get(), 64) != first, "wrong result");
       }},
  };
}

// The descriptors of other ops.
std::vector<Program> others() {
  return {
      {"cuDNN: softmax along pixels instead of channels", "wrong result", always,
       [](Bench& b, bool bug) {
         Cudnn cudnn(b.cuda.stream());
         const Scratch<float> y(b.memory, 64);
         fill(b.cuda, b.d, 1, 64);  // 2 lines of 32
         const TensorDescriptor d(f32, CUDNN_TENSOR_NCHW, 2, bug ? 1 : 32, bug ? 32 : 1, 1);
         check(MICA_CUDNN_CALL(cudnnSoftmaxForward)(cudnn.handle(), CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_MODE_CHANNEL, &cudnn_one<float>,
                                                    d, b.d, &cudnn_zero<float>, d, y.get()),
               "cudnnSoftmaxForward");
         expect(host(b.cuda, y.get(), 64)[5] == 1.F / 32, "wrong result");
       }},
      {"cuDNN: pooling into an output of ceil mode's size", "CUDNN_STATUS_BAD_PARAM.*y->h == h", always,
       [](Bench& b, bool bug) {
         Cudnn cudnn(b.cuda.stream());
         const Scratch<float> y(b.memory, 64);
         fill(b.cuda, b.d, 1, 64);
         const TensorDescriptor from(f32, nhwc, 1, 4, 4, 4), to(f32, nhwc, 1, 4, bug ? 2 : 1, bug ? 2 : 1);
         OwnedPooling windows;
         check(
             MICA_CUDNN_CALL(cudnnSetPooling2dDescriptor)(windows, CUDNN_POOLING_MAX_DETERMINISTIC, CUDNN_PROPAGATE_NAN, 3, 3, 0, 0, 2, 2),
             "describing windows");
         check(MICA_CUDNN_CALL(cudnnPoolingForward)(cudnn.handle(), windows, &cudnn_one<float>, from, b.d, &cudnn_zero<float>, to, y.get()),
               "cudnnPoolingForward");
         expect(host(b.cuda, y.get(), 4)[3] == 1, "wrong result");
       }},
      {"cuDNN: factors of f32 for images of f64", "wrong result", always,
       [](Bench& b, bool bug) {
         Cudnn cudnn(b.cuda.stream());
         const Scratch<double> x(b.memory, 8), y(b.memory, 8);
         check(cudaMemsetAsync(x.get(), 0, 64, b.cuda.stream().get()));  // whose softmax is 1/8
         const TensorDescriptor d(CUDNN_DATA_DOUBLE, CUDNN_TENSOR_NCHW, 1, 8, 1, 1);
         alignas(double) const float ones[2] = {1, 1};
         const void* const one = bug ? static_cast<const void*>(ones) : &cudnn_one<double>;
         check(MICA_CUDNN_CALL(cudnnSoftmaxForward)(cudnn.handle(), CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_MODE_CHANNEL, one, d, x.get(),
                                                    &cudnn_zero<double>, d, y.get()),
               "cudnnSoftmaxForward");
         double first = 0;
         b.cuda.stream().synchronize();
         check(cudaMemcpy(&first, y.get(), sizeof first, cudaMemcpyDeviceToHost));
         expect(first == 0.125, "wrong result");
       }},
      {"cuDNN: batch norm's statistics of half the channels", "CUDNN_STATUS_BAD_PARAM.*bn->c == x->c", always,
       [](Bench& b, bool bug) {
         Cudnn cudnn(b.cuda.stream());
         const Scratch<float> y(b.memory, 64), factors(b.memory, 4);
         fill(b.cuda, b.d, 3, 64), fill(b.cuda, factors.get(), 1, 4);
         const TensorDescriptor d(f32, nhwc, 1, 4, 16, 1), per_channel(f32, CUDNN_TENSOR_NCHW, 1, bug ? 2 : 4, 1, 1);
         const float* const ones = factors.get();
         check(MICA_CUDNN_CALL(cudnnBatchNormalizationForwardInference)(cudnn.handle(), CUDNN_BATCHNORM_SPATIAL, &cudnn_one<float>,
                                                                        &cudnn_zero<float>, d, b.d, d, y.get(), per_channel, ones, ones,
                                                                        ones, ones, 0),
               "cudnnBatchNormalizationForwardInference");
         expect(host(b.cuda, y.get(), 64)[63] == 3, "wrong result");
       }},
  };
}

}  // namespace

std::vector<Program> cudnn_bugs() {
  std::vector<Program> all;
  for (const auto& some : {descriptors(), memory(), dropouts(), others()}) all.insert(all.end(), some.begin(), some.end());
  return all;
}

}  // namespace planted

#endif
