// An emulated cuDNN: its classic functions as plain loops in f64 on the handle's stream, for f32 and f64 and four dimensions. What
// its documentation or header calls an error is one here, and so is what the real library refuses where it answers without a
// GPU (tests/emulator_test/cudnn_answers.txt). Every refusal is reported with the condition that did not hold.
// More is done here for f64 in NHWC than the documentation promises of the real library, whose answer may be NOT_SUPPORTED.
#pragma once

#include "device.h"

#include <cudnn.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

struct cudnnContext {
  cudaStream_t stream = nullptr;
};
struct cudnnTensorStruct {
  bool set = false;
  cudnnDataType_t type{};
  int n = 0, c = 0, h = 0, w = 0;
  int sn = 0, sc = 0, sh = 0, sw = 0;  // strides
};
struct cudnnFilterStruct {
  bool set = false;
  cudnnDataType_t type{};
  cudnnTensorFormat_t format{};
  int k = 0, c = 0, h = 0, w = 0;
};
struct cudnnConvolutionStruct {
  bool set = false;
  int ph = 0, pw = 0, sh = 0, sw = 0, dh = 0, dw = 0;
  cudnnConvolutionMode_t mode{};
  cudnnDataType_t compute{};
  int groups = 1;
  cudnnMathType_t math = CUDNN_DEFAULT_MATH;
};
struct cudnnPoolingStruct {
  bool set = false;
  cudnnPoolingMode_t mode{};
  cudnnNanPropagation_t nan{};
  int h = 0, w = 0, ph = 0, pw = 0, sh = 0, sw = 0;
};
struct cudnnDropoutStruct {
  bool set = false;
  float p = 0;
  std::uint64_t* states = nullptr;
  std::uint64_t seed = 0;
};

namespace emulator::cudnn {

inline constexpr auto ok = CUDNN_STATUS_SUCCESS, bad_param = CUDNN_STATUS_BAD_PARAM, null_pointer = CUDNN_STATUS_BAD_PARAM_NULL_POINTER,
                      shape_mismatch = CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH, not_supported = CUDNN_STATUS_NOT_SUPPORTED;

// ---- refusing ----

cudnnStatus_t enter(const char* function);  // counts the call; not ok where a failure was asked for
cudnnStatus_t refuse(const char* function, const char* condition, cudnnStatus_t status);

// A function's first line, and then what must hold.
#define ENTER() \
  if (const cudnnStatus_t entered = emulator::cudnn::enter(__func__)) return entered
#define NEED(condition, status) \
  if (!(condition)) return emulator::cudnn::refuse(__func__, #condition, emulator::cudnn::status)
#define NEED_IN(function, condition, status) \
  if (!(condition)) return emulator::cudnn::refuse(function, #condition, emulator::cudnn::status)
#define PASS(call) \
  if (const cudnnStatus_t passed = call) return passed

template <class... D>
bool set(const D*... d) {
  return ((d && d->set) && ...);
}
template <class... T>
bool given(T... p) {
  return (p && ...);
}
inline bool same_dims(const cudnnTensorStruct* a, const cudnnTensorStruct* b) {
  return a->n == b->n && a->c == b->c && a->h == b->h && a->w == b->w;
}
inline bool floating(cudnnDataType_t type) { return type == CUDNN_DATA_FLOAT || type == CUDNN_DATA_DOUBLE; }
inline bool same_floating(const cudnnTensorStruct* a, const cudnnTensorStruct* b) { return floating(a->type) && a->type == b->type; }

// ---- tensors in device memory ----

inline std::size_t size_of(cudnnDataType_t type) { return type == CUDNN_DATA_DOUBLE ? 8 : 4; }
inline std::size_t offset(const cudnnTensorStruct& d, int n, int c, int h, int w) {
  return std::size_t(n) * std::size_t(d.sn) + std::size_t(c) * std::size_t(d.sc) + std::size_t(h) * std::size_t(d.sh) +
         std::size_t(w) * std::size_t(d.sw);
}
inline std::size_t extent(const cudnnTensorStruct& d) { return offset(d, d.n - 1, d.c - 1, d.h - 1, d.w - 1) + 1; }
inline Buffer read(const cudnnTensorStruct* d, const void* p) { return {p, extent(*d) * size_of(d->type)}; }
inline Buffer written(const cudnnTensorStruct* d, const void* p) { return {p, extent(*d) * size_of(d->type), true}; }

template <class T>
struct View : cudnnTensorStruct {
  T* p;
  View(const cudnnTensorStruct& d, const void* data) : cudnnTensorStruct(d), p(static_cast<T*>(const_cast<void*>(data))) {}
  T& operator()(int i, int j, int y, int x) const { return p[offset(*this, i, j, y, x)]; }
  double at(int i, int j, int y, int x) const { return static_cast<double>((*this)(i, j, y, x)); }
  template <class F>
  void each(const F& f) const {  // f(n, c, h, w)
    for (int i = 0; i < n; ++i)
      for (int y = 0; y < h; ++y)
        for (int x = 0; x < w; ++x)
          for (int j = 0; j < c; ++j) f(i, j, y, x);
  }
};

// f(T{}) for the element type.
template <class F>
void by_type(cudnnDataType_t type, const F& f) {
  if (type == CUDNN_DATA_DOUBLE) f(double{});
  else f(float{});
}

// y = alpha · v + beta · y. The factors are host memory, of f64 for f64, read during the call. beta = 0: the old y is not read.
struct Blend {
  double alpha, beta;
  Blend(cudnnDataType_t type, const void* a, const void* b) : alpha(value(type, a)), beta(value(type, b)) {}
  template <class T>
  void operator()(T& y, double v) const {
    y = static_cast<T>(alpha * v + (beta == 0 ? 0 : beta * static_cast<double>(y)));
  }

 private:
  static double value(cudnnDataType_t type, const void* p) {
    return type == CUDNN_DATA_DOUBLE ? *static_cast<const double*>(p) : *static_cast<const float*>(p);
  }
};

// Submits work; all that it touches must be live device memory when it runs.
cudnnStatus_t run(cudnnHandle_t handle, const char* name, std::vector<Buffer> buffers, std::function<void()> work);

}  // namespace emulator::cudnn
