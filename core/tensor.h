// Tensor: the one array type, dense, with automatic differentiation.
//
// A Tensor is a handle; copies share elements and gradient (clone() copies). Ops run when they are called. Shapes are
// logical, as in PyTorch; core/shape.h tells how elements lie in memory. Values enter and leave in logical order.
//   Tensor x = Tensor::from<float>({1, 2, 3, 4}, {2, 2}).set_requires_grad();
//   sum(x * x).backward();
//   x.grad();   // 2 x
// Errors: ShapeError, DTypeError, DeviceError, GraphError, OutOfMemory (core/error.h).
// Not thread-safe per tensor; different threads may use different tensors.
#pragma once

#include <mica/core/device.h>
#include <mica/core/dtype.h>
#include <mica/core/shape.h>

#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace mica {

struct GradMeta;  // core/autograd.h
struct TensorImpl;

class Tensor {
 public:
  Tensor() = default;  // undefined: holds nothing, and every use but defined() is an error

  // Making tensors.
  static Tensor empty(const Shape& shape, DType dtype = DType::f32, Device device = {});  // contents undefined
  static Tensor zeros(const Shape& shape, DType dtype = DType::f32, Device device = {});
  static Tensor ones(const Shape& shape, DType dtype = DType::f32, Device device = {});
  static Tensor full(const Shape& shape, double value, DType dtype = DType::f32, Device device = {});
  template <class T> static Tensor from(std::span<const std::type_identity_t<T>> values, const Shape& shape);
  template <class T> static Tensor from(std::initializer_list<std::type_identity_t<T>> values, const Shape& shape) {
    return from<T>(std::span<const T>(values.begin(), values.size()), shape);
  }
  template <class T> static Tensor from(const std::vector<T>& values, const Shape& shape) {
    return from<T>(std::span<const T>(values), shape);
  }

  // What it is.
  bool defined() const { return impl_ != nullptr; }
  const Shape& shape() const;
  std::int64_t size(int dim) const;  // dim may count from the back: -1 is the last
  int rank() const { return static_cast<int>(shape().size()); }
  std::int64_t numel() const { return mica::numel(shape()); }
  DType dtype() const;
  Device device() const;

  // Elements. data() is memory order (core/shape.h); the dtype must be T's.
  template <class T> T* data() const;
  void* raw_data() const;
  template <class T> std::vector<T> to_vector() const;  // copied to the host, logical order
  template <class T> T item() const;                    // of a tensor with one element
  std::string to_string() const;                        // values in nested brackets, long ones shortened

  // New tensors from this one. All but detach and clone's copy of data are differentiable.
  Tensor clone() const;                                       // its own storage
  Tensor detach() const;                                      // shares the elements, takes no part in the graph
  Tensor to(DType dtype) const;                               // itself where nothing changes
  Tensor to(Device device) const;                             // itself where it is there already
  Tensor reshape(const Shape& shape) const;                   // one size may be -1; shares elements where none moves
  Tensor slice(std::int64_t begin, std::int64_t end) const;   // of the first dimension; shares elements
  Tensor operator[](std::int64_t index) const;                // one of the first dimension, rank one less; copies

  // Changes in place. An op that saved the old values for backward then refuses to run backward.
  Tensor& fill_(double value);
  Tensor& copy_(const Tensor& source);  // same shape; converts dtype

  // Automatic differentiation.
  bool requires_grad() const;                    // a leaf that wants a gradient, or the result of an op on one
  Tensor& set_requires_grad(bool value = true);  // leaves of floating type only
  bool is_leaf() const;                          // not the result of a recorded op
  Tensor grad() const;                           // undefined before the first backward; leaves only
  void set_grad(const Tensor& grad) const;       // an undefined one clears it
  void backward() const;                         // of one element
  void backward(const Tensor& gy) const;         // gy: gradient of this tensor, same shape and dtype

  // For ops and optimizers.
  const std::shared_ptr<GradMeta>& grad_meta() const;  // may be null
  void set_grad_meta(std::shared_ptr<GradMeta> meta);
  void bump_version() const;                           // says: elements were changed in place
  std::uint32_t version() const;
  void adopt(const Tensor& source);                    // become source's elements, keeping identity and gradient
  bool is_sole_owner() const;                          // does no other handle or view reach the elements?

 private:
  explicit Tensor(std::shared_ptr<TensorImpl> impl) : impl_(std::move(impl)) {}
  const TensorImpl& checked() const;  // throws Error where undefined
  Tensor view(const Shape& shape, std::int64_t offset) const;
  std::shared_ptr<TensorImpl> impl_;
};

// Throw unless the tensor is what the op takes; texts begin with op and name the argument.
void require_floating(const char* op, const char* argument, const Tensor& x);
void require_same_type(const char* op, const Tensor& a, const Tensor& b);  // dtype and device
void require_same_device(const char* op, const Tensor& a, const Tensor& b);

}  // namespace mica
