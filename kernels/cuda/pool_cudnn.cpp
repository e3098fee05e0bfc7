// Pooling by cuDNN: windows without dilation, all within the padded image; adaptive ones where they tile the image evenly.
#include <mica/kernels/cuda/cudnn.h>
#include <mica/kernels/cuda/cudnn_ops.h>

#include <optional>

namespace mica::kernels::cudnn_ops {
namespace {

using Two = std::array<i64, 2>;

bool takes(const Pool2dDims& d) {
  for (std::size_t i = 0; i < 2; ++i) {
    const i64 size = i == 0 ? d.h : d.w, outputs = i == 0 ? d.oh : d.ow;
    if (d.dilation[i] != 1 || d.padding[i] >= d.kernel[i] || size > largest_window / 4 || d.padding[i] > largest_window / 4) return false;
    if (outputs != window_output(size, d.kernel[i], d.stride[i], d.padding[i], 1)) return false;  // ceil mode's last window
  }
  return cudnn_sizes({d.n, d.c, d.h, d.w, d.oh, d.ow, d.kernel[0], d.kernel[1], d.stride[0], d.stride[1]});
}

// Windows of equal size side by side.
std::optional<Pool2dDims> tiles(Pool2dDims d) {
  if (d.oh < 1 || d.ow < 1 || d.h % d.oh != 0 || d.w % d.ow != 0) return {};
  d.kernel = d.stride = Two{d.h / d.oh, d.w / d.ow}, d.padding = {0, 0}, d.dilation = {1, 1};
  return d;
}

struct Windows : OwnedPooling {
  Windows(cudnnPoolingMode_t mode, const Pool2dDims& d) {
    const auto whole = [](i64 size) { return static_cast<int>(size); };
    check(MICA_CUDNN_CALL(cudnnSetPooling2dDescriptor)(*this, mode, CUDNN_PROPAGATE_NAN, whole(d.kernel[0]), whole(d.kernel[1]),
                                                       whole(d.padding[0]), whole(d.padding[1]), whole(d.stride[0]), whole(d.stride[1])),
          "cudnnSetPooling2dDescriptor");
  }
};

struct Descriptors {
  TensorDescriptor x, y;
  Windows windows;
  Descriptors(cudnnDataType_t type, cudnnPoolingMode_t mode, const Pool2dDims& d)
      : x(type, CUDNN_TENSOR_NHWC, d.n, d.c, d.h, d.w), y(type, CUDNN_TENSOR_NHWC, d.n, d.c, d.oh, d.ow), windows(mode, d) {}
};

template <class T>
bool forward(Cudnn& cudnn, const Descriptors& d, const T* x, T* y) {
  return started(MICA_CUDNN_CALL(cudnnPoolingForward)(cudnn.handle(), d.windows, &cudnn_one<T>, d.x, x, &cudnn_zero<T>, d.y, y),
                   "cudnnPoolingForward");
}

template <class T>
bool backward(Cudnn& cudnn, const Descriptors& d, const T* x, const T* y, const T* gy, T* gx) {
  return started(
      MICA_CUDNN_CALL(cudnnPoolingBackward)(cudnn.handle(), d.windows, &cudnn_one<T>, d.y, y, d.y, gy, d.x, x, &cudnn_zero<T>, d.x, gx),
      "cudnnPoolingBackward");
}

cudnnPoolingMode_t max_mode(const Cuda& cuda) {
  return cuda.settings().deterministic ? CUDNN_POOLING_MAX_DETERMINISTIC : CUDNN_POOLING_MAX;
}

cudnnPoolingMode_t average_mode(const AveragePool& rule) {
  return rule.count_include_pad ? CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING : CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING;
}

std::optional<Pool2dDims> plain(const Pool2dDims& d, const AveragePool& rule) {
  const std::optional<Pool2dDims> windows = rule.adaptive ? tiles(d) : d;
  return rule.divisor == 0 && windows && takes(*windows) ? windows : std::nullopt;
}

}  // namespace

template <class T>
bool max_pool2d_forward(Cuda& cuda, const Pool2dDims& d, const T* x, T* y) {
  if (!takes(d) || !cudnn_aligned({x, y})) return false;
  Cudnn& cudnn = *cuda.cudnn();
  const std::lock_guard lock(cudnn.mutex());
  return forward(cudnn, Descriptors(cudnn_type<T>, max_mode(cuda), d), x, y);
}

// cuDNN finds the winners by y, which is made again, since autograd keeps x alone.
template <class T>
bool max_pool2d_backward(Cuda& cuda, const Pool2dDims& d, const T* x, const T* gy, T* gx) {
  if (!takes(d) || !cudnn_aligned({x, gy, gx})) return false;
  Cudnn& cudnn = *cuda.cudnn();
  const std::lock_guard lock(cudnn.mutex());
  const Descriptors descriptors(cudnn_type<T>, max_mode(cuda), d);
  const auto y = cuda.scratch<T>(d.n * d.oh * d.ow * d.c);
  return forward(cudnn, descriptors, x, y.get()) && backward(cudnn, descriptors, x, y.get(), gy, gx);
}

template <class T>
bool avg_pool2d_forward(Cuda& cuda, const Pool2dDims& d, const AveragePool& rule, const T* x, T* y) {
  const auto windows = plain(d, rule);
  if (!windows || !cudnn_aligned({x, y})) return false;
  Cudnn& cudnn = *cuda.cudnn();
  const std::lock_guard lock(cudnn.mutex());
  return forward(cudnn, Descriptors(cudnn_type<T>, average_mode(rule), *windows), x, y);
}

// An average's gradient depends on neither x nor y, which must only be given: tensors of their shapes.
template <class T>
bool avg_pool2d_backward(Cuda& cuda, const Pool2dDims& d, const AveragePool& rule, const T* gy, T* gx) {
  const auto windows = plain(d, rule);
  if (!windows || !cudnn_aligned({gy, gx})) return false;
  Cudnn& cudnn = *cuda.cudnn();
  const std::lock_guard lock(cudnn.mutex());
  return backward(cudnn, Descriptors(cudnn_type<T>, average_mode(rule), *windows), gx, gy, gy, gx);
}

#define MICA_FLOATING(T)                                                                        \
  template bool max_pool2d_forward(Cuda&, const Pool2dDims&, const T*, T*);                     \
  template bool max_pool2d_backward(Cuda&, const Pool2dDims&, const T*, const T*, T*);          \
  template bool avg_pool2d_forward(Cuda&, const Pool2dDims&, const AveragePool&, const T*, T*); \
  template bool avg_pool2d_backward(Cuda&, const Pool2dDims&, const AveragePool&, const T*, T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels::cudnn_ops
