// cuDNN by its classic interface, loaded when it is first needed: a handle on a context's stream, errors as exceptions,
// descriptors that free themselves. Only files named …_cudnn.cpp include it: a build without cuDNN's header leaves them out.
#pragma once

#include <mica/kernels/cuda/by_cudnn.h>
#include <mica/kernels/cuda/shared_library.h>
#include <mica/kernels/shape_cache.h>

#include <cudnn.h>

#include <memory>
#include <mutex>
#include <type_traits>
#include <vector>

namespace mica::kernels {

// ---- calls ----

// MICA_CUDNN_CALL(cudnnCreate)(&handle)
#define MICA_CUDNN_CALL(function) MICA_LIBRARY_CALL(::mica::kernels::cudnn_library(), function)
const SharedLibrary& cudnn_library();  // not in the emulated build

// Throws CudaError, which says what failed and why, by the status and by cuDNN's own words.
void check(cudnnStatus_t status, const char* what, const char* file = __builtin_FILE(), int line = __builtin_LINE());

// As check, but false where the answer is that cuDNN cannot do this case.
bool supported(cudnnStatus_t status, const char* what, const char* file = __builtin_FILE(), int line = __builtin_LINE());

// As supported, of a call that starts work on the device, which errors name from then on.
bool started(cudnnStatus_t status, const char* what, const char* file = __builtin_FILE(), int line = __builtin_LINE());

// ---- descriptors; sizes have been seen to fit into an int ----

template <class T>
inline constexpr cudnnDataType_t cudnn_type = std::is_same_v<T, double> ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT;

// y = 1 · result + 0 · y: the old y is not read.
template <class T>
inline constexpr T cudnn_one = 1;
template <class T>
inline constexpr T cudnn_zero = 0;

// Are these sizes ones that cuDNN takes: 1 or more, and below 2³¹?
bool cudnn_sizes(std::initializer_list<i64> sizes);

// Are these pointers ones that cuDNN takes, whose kernels read 16 bytes at a time? A view may begin anywhere. Null counts as such.
bool cudnn_aligned(std::initializer_list<const void*> pointers);

#define MICA_CUDNN_OWNED(Kind)                                                                                                   \
  inline cudnnStatus_t destroy_cudnn(cudnn##Kind##Descriptor_t d) { return MICA_CUDNN_CALL(cudnnDestroy##Kind##Descriptor)(d); } \
  class Owned##Kind {                                                                                                            \
   public:                                                                                                                       \
    Owned##Kind() { check(MICA_CUDNN_CALL(cudnnCreate##Kind##Descriptor)(owned_.out()), "cudnnCreate" #Kind "Descriptor"); }     \
    operator cudnn##Kind##Descriptor_t() const { return owned_.get(); }                                                          \
                                                                                                                                 \
   private:                                                                                                                      \
    Owned<cudnn##Kind##Descriptor_t, static_cast<cudnnStatus_t (*)(cudnn##Kind##Descriptor_t)>(destroy_cudnn)> owned_;           \
  };
MICA_CUDNN_OWNED(Tensor)
MICA_CUDNN_OWNED(Filter)
MICA_CUDNN_OWNED(Convolution)
MICA_CUDNN_OWNED(Pooling)
MICA_CUDNN_OWNED(Dropout)

// Images n×h×w×c (NHWC) or anything n×c×h×w (NCHW), densely.
struct TensorDescriptor : OwnedTensor {
  TensorDescriptor(cudnnDataType_t type, cudnnTensorFormat_t format, i64 n, i64 c, i64 h, i64 w);
};

// Filters o×kh×kw×c.
struct FilterDescriptor : OwnedFilter {
  FilterDescriptor(cudnnDataType_t type, i64 o, i64 c, i64 kh, i64 kw);
};

// ---- the handle ----

// A way to do a convolution.
struct ConvolutionChoice {
  int algorithm = 0;  // of the enumeration of its pass
  cudnnMathType_t math = CUDNN_DEFAULT_MATH;
  std::size_t workspace = 0;  // bytes
};

// What cuDNN's random numbers go on from, in device memory.
struct DropoutStates {
  std::unique_ptr<Scratch<char>> memory;
  std::size_t bytes = 0;
  std::uint64_t seed = 0, seeding = 0;
  bool seeded = false;
};

class Cudnn {
 public:
  explicit Cudnn(const Stream& stream);

  cudnnHandle_t handle() const { return handle_.get(); }
  std::mutex& mutex() { return mutex_; }  // held from the first call of an op with this handle to the last

  // What cuDNN's heuristics propose and the settings allow, the best first, without those that turned out not to run. Kept by pass,
  // type, every dimension and the settings that matter.
  using ConvolutionKey = std::vector<i64>;
  ShapeCache<ConvolutionKey, std::vector<ConvolutionChoice>> convolutions;
  DropoutStates dropout;  // made at the first use

 private:
  static cudnnStatus_t destroy(cudnnHandle_t handle) { return MICA_CUDNN_CALL(cudnnDestroy)(handle); }
  Owned<cudnnHandle_t, destroy> handle_;
  std::mutex mutex_;
};

}  // namespace mica::kernels
