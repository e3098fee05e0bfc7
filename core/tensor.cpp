#include <mica/core/autograd.h>
#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/memory.h>
#include <mica/core/tensor.h>
#include <mica/kernels/copy.h>

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace mica {

// Elements and their version; shared by a tensor and its views.
struct Storage {
  Storage(std::size_t size, Device where) : bytes(size), device(where), pointer(allocate(where, size)) {}
  ~Storage() { deallocate(device, pointer, bytes); }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::size_t bytes;
  Device device;
  void* pointer;
  std::uint32_t version = 0;  // counts changes in place
};

struct TensorImpl {
  std::shared_ptr<Storage> storage;
  std::int64_t offset;  // in elements
  Shape shape;
  DType dtype;
  std::shared_ptr<GradMeta> meta;
};

namespace {

constexpr std::int64_t largest_on_cuda = std::numeric_limits<std::int32_t>::max();

kernels::Sizes to_sizes(const std::vector<std::int64_t>& values) {
  kernels::Sizes sizes{};
  std::copy(values.begin(), values.end(), sizes.begin());
  return sizes;
}

// Copies between memory order and a dense buffer in logical order (either may be x).
template <class Context, class T>
void copy_logical(Context& context, const Shape& shape, const Strides& from, const T* x, const Strides& to, T* y) {
  kernels::strided_copy(context, static_cast<int>(shape.size()), to_sizes(shape), to_sizes(from), x, to_sizes(to), y);
}

Strides row_major(const Shape& shape) {
  Strides strides(shape.size());
  std::int64_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0; stride *= shape[i]) strides[i] = stride;
  return strides;
}

void check_shape(const Shape& shape) {
  std::int64_t count = 1;
  if (shape.size() > kernels::max_rank)
    throw ShapeError(fmt::format("a tensor of shape {} has rank {}; at most {} is possible", to_string(shape), shape.size(),
                                 kernels::max_rank));
  for (const std::int64_t size : shape) {
    if (size < 0) throw ShapeError(fmt::format("a tensor of shape {} is not possible: sizes are 0 or more", to_string(shape)));
    if (size > 0 && count > std::numeric_limits<std::int64_t>::max() / 16 / size)
      throw OutOfMemory(fmt::format("a tensor of shape {} has more elements than any machine holds", to_string(shape)));
    count *= std::max<std::int64_t>(size, 1);
  }
}

}  // namespace

// ---- making tensors ----

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  check_shape(shape);
  if (device.kind() == Device::Kind::cuda && mica::numel(shape) > largest_on_cuda)
    throw ShapeError(fmt::format("a tensor of shape {} on {} has {} elements; kernels count at most {} there, so split it",
                                 mica::to_string(shape), mica::to_string(device), mica::numel(shape), largest_on_cuda));
  const std::size_t bytes = static_cast<std::size_t>(mica::numel(shape)) * size_of(dtype);
  return Tensor(std::make_shared<TensorImpl>(
      TensorImpl{std::make_shared<Storage>(bytes, device), 0, shape, dtype, nullptr}));
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
  Tensor y = empty(shape, dtype, device);
  dispatch(y, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::fill(context, y.numel(), static_cast<T>(value), y.data<T>());
  });
  return y;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) { return full(shape, 0, dtype, device); }
Tensor Tensor::ones(const Shape& shape, DType dtype, Device device) { return full(shape, 1, dtype, device); }

template <class T>
Tensor Tensor::from(std::span<const std::type_identity_t<T>> values, const Shape& shape) {
  if (static_cast<std::int64_t>(values.size()) != mica::numel(shape))
    throw ShapeError(fmt::format("Tensor::from: {} values given for shape {}, which takes {}", values.size(),
                                 mica::to_string(shape), mica::numel(shape)));
  Tensor y = empty(shape, dtype_of<T>);
  copy_logical(cpu_context(), shape, row_major(shape), values.data(), strides_of(shape), y.data<T>());
  return y;
}

// ---- what it is ----

const TensorImpl& Tensor::checked() const {
  if (!impl_) throw Error("an undefined tensor was used; give it a value first, for example by Tensor::zeros");
  return *impl_;
}

const Shape& Tensor::shape() const { return checked().shape; }
DType Tensor::dtype() const { return checked().dtype; }
Device Tensor::device() const { return checked().storage->device; }

std::int64_t Tensor::size(int dim) const {
  if (rank() == 0) throw ShapeError("Tensor::size: a scalar has no dimensions");
  return shape()[static_cast<std::size_t>(normalize_dim(dim, rank(), "Tensor::size"))];
}

// ---- elements ----

void* Tensor::raw_data() const {
  const TensorImpl& t = checked();
  return static_cast<char*>(t.storage->pointer) + static_cast<std::size_t>(t.offset) * size_of(t.dtype);
}

template <class T>
T* Tensor::data() const {
  if (dtype() != dtype_of<T>)
    throw DTypeError(fmt::format("Tensor::data: the tensor is {}, asked for as {}; convert it with to()", name_of(dtype()),
                                 name_of(dtype_of<T>)));
  return static_cast<T*>(raw_data());
}

template <class T>
std::vector<T> Tensor::to_vector() const {
  std::vector<T> values(static_cast<std::size_t>(numel()));
  const Tensor here = detach().to(Device::cpu());
  copy_logical(cpu_context(), shape(), strides_of(shape()), static_cast<const T*>(here.data<T>()), row_major(shape()), values.data());
  return values;
}

template <class T>
T Tensor::item() const {
  if (numel() != 1)
    throw ShapeError(fmt::format("Tensor::item: the tensor has {} elements (shape {}), expected one", numel(),
                                 mica::to_string(shape())));
  T value;
  copy_bytes("Tensor::item", Device::cpu(), &value, device(), data<T>(), sizeof(T));
  return value;
}

// ---- new tensors from this one ----

Tensor Tensor::view(const Shape& shape, std::int64_t offset) const {
  return Tensor(std::make_shared<TensorImpl>(TensorImpl{impl_->storage, offset, shape, impl_->dtype, nullptr}));
}

Tensor Tensor::detach() const { return view(shape(), checked().offset); }

Tensor Tensor::clone() const {
  Tensor y = empty(shape(), dtype(), device());
  dispatch(*this, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::convert(context, numel(), static_cast<const T*>(data<T>()), y.data<T>());
  });
  record("clone", y, {*this}, [](const Tensor& gy) -> Gradients { return {gy}; });
  return y;
}

Tensor Tensor::to(DType target) const {
  if (target == dtype()) return *this;
  Tensor y = empty(shape(), target, device());
  dispatch(*this, [&](auto& context, auto from) {
    dispatch(y, [&](auto&, auto to) {
      using From = decltype(from);
      using To = decltype(to);
      kernels::convert(context, numel(), static_cast<const From*>(data<From>()), y.data<To>());
    });
  });
  if (is_floating(target))
    record("to", y, {*this}, [source = dtype()](const Tensor& gy) -> Gradients { return {gy.to(source)}; });
  return y;
}

Tensor Tensor::to(Device target) const {
  const Device source = device();
  if (target == source) return *this;
  Tensor y = empty(shape(), dtype(), target);
  copy_bytes("Tensor::to", target, y.raw_data(), source, raw_data(), static_cast<std::size_t>(numel()) * size_of(dtype()));
  record("to", y, {*this}, [source](const Tensor& gy) -> Gradients { return {gy.to(source)}; });
  return y;
}

Tensor Tensor::reshape(const Shape& wanted) const {
  Shape target = wanted;
  std::int64_t known = 1, unknown = -1;
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (target[i] != -1) known *= target[i];
    else if (unknown < 0) unknown = static_cast<std::int64_t>(i);
    else throw ShapeError(fmt::format("reshape: {} has more than one -1", mica::to_string(wanted)));
  }
  if (unknown >= 0 && known > 0) target[static_cast<std::size_t>(unknown)] = numel() / known;
  const bool possible = std::all_of(target.begin(), target.end(), [](std::int64_t size) { return size >= 0; });
  if (possible) check_shape(target);
  if (!possible || mica::numel(target) != numel() || (unknown >= 0 && known == 0))
    throw ShapeError(fmt::format("reshape: shape {} of {} elements cannot become {}", mica::to_string(shape()), numel(),
                                 mica::to_string(wanted)));
  const bool moves = !same_memory_order(shape(), target);
  if (moves && rank() == 4 && target.size() == 4) return reshape({numel()}).reshape(target);
  Tensor y = moves ? empty(target, dtype(), device()) : view(target, impl_->offset);
  if (moves)
    dispatch(*this, [&](auto& context, auto t) {
      using T = decltype(t);
      const bool from_image = rank() == 4;  // then x is permuted into logical order, otherwise y out of it
      const Shape& image = from_image ? shape() : target;
      const Strides stored = strides_of(image), logical = row_major(image);
      copy_logical(context, image, from_image ? stored : logical, static_cast<const T*>(data<T>()),
                   from_image ? logical : stored, y.data<T>());
    });
  record("reshape", y, {*this}, [from = shape()](const Tensor& gy) -> Gradients { return {gy.reshape(from)}; });
  return y;
}

Tensor Tensor::slice(std::int64_t begin, std::int64_t end) const {
  if (rank() == 0 || begin < 0 || end < begin || end > shape()[0])
    throw ShapeError(fmt::format("slice: [{}, {}) is not a part of the first dimension of shape {}", begin, end,
                                 mica::to_string(shape())));
  Shape part = shape();
  part[0] = end - begin;
  const std::int64_t step = shape()[0] == 0 ? 0 : numel() / shape()[0];
  Tensor y = view(part, impl_->offset + begin * step);
  record("slice", y, {*this}, [from = shape(), begin, end](const Tensor& gy) -> Gradients {
    Tensor gx = zeros(from, gy.dtype(), gy.device());
    gx.slice(begin, end).copy_(gy);
    return {gx};
  });
  return y;
}

Tensor Tensor::operator[](std::int64_t index) const {
  if (rank() == 0 || index < 0 || index >= shape()[0])
    throw ShapeError(fmt::format("index {} is out of range for the first dimension of shape {}", index,
                                 mica::to_string(shape())));
  const Tensor part = slice(index, index + 1);
  const Tensor own = part.clone();
  return own.reshape(Shape(shape().begin() + 1, shape().end()));
}

// ---- changes in place ----

namespace {

void require_no_graph(const Tensor& x, const char* op) {
  if (x.requires_grad() && grad_enabled())
    throw GraphError(fmt::format("{}: a tensor that requires a gradient cannot be changed in place; do it within NoGrad",
                                 op));
}

}  // namespace

Tensor& Tensor::fill_(double value) {
  require_no_graph(*this, "fill_");
  dispatch(*this, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::fill(context, numel(), static_cast<T>(value), data<T>());
  });
  bump_version();
  return *this;
}

Tensor& Tensor::copy_(const Tensor& source) {
  require_no_graph(*this, "copy_");
  if (source.shape() != shape())
    throw ShapeError(fmt::format("copy_: the source has shape {}, expected {}", mica::to_string(source.shape()),
                                 mica::to_string(shape())));
  const Tensor same = source.detach().to(dtype());
  copy_bytes("Tensor::copy_", device(), raw_data(), same.device(), same.raw_data(), static_cast<std::size_t>(numel()) * size_of(dtype()));
  bump_version();
  return *this;
}

void Tensor::bump_version() const { ++checked().storage->version; }
std::uint32_t Tensor::version() const { return checked().storage->version; }
bool Tensor::is_sole_owner() const { return impl_.use_count() == 1 && impl_->storage.use_count() == 1; }

void Tensor::adopt(const Tensor& source) {
  const TensorImpl& from = source.checked();
  impl_->storage = from.storage;
  impl_->offset = from.offset;
  impl_->shape = from.shape;
  impl_->dtype = from.dtype;
  if (impl_->meta) {
    impl_->meta->shape = from.shape;
    impl_->meta->dtype = from.dtype;
    impl_->meta->grad = Tensor();
  }
}

// ---- automatic differentiation: the handle's side; the rest is in autograd.cpp ----

const std::shared_ptr<GradMeta>& Tensor::grad_meta() const { return checked().meta; }
void Tensor::set_grad_meta(std::shared_ptr<GradMeta> meta) { impl_->meta = std::move(meta); }

bool Tensor::requires_grad() const { return grad_meta() && grad_meta()->requires_grad; }
bool Tensor::is_leaf() const { return !grad_meta() || !grad_meta()->node; }

Tensor& Tensor::set_requires_grad(bool value) {
  if (!is_leaf()) throw GraphError("set_requires_grad: only leaves can be told; detach() the result of an op first");
  if (value) require_floating("set_requires_grad", "tensor", *this);
  if (!grad_meta()) set_grad_meta(std::make_shared<GradMeta>(GradMeta{false, nullptr, {}, shape(), dtype()}));
  grad_meta()->requires_grad = value;
  return *this;
}

Tensor Tensor::grad() const { return grad_meta() ? grad_meta()->grad : Tensor(); }

void Tensor::set_grad(const Tensor& grad) const {
  if (!requires_grad() || !is_leaf()) throw GraphError("set_grad: the tensor is not a leaf that requires a gradient");
  if (grad.defined() && (grad.shape() != shape() || grad.dtype() != dtype()))
    throw ShapeError(fmt::format("set_grad: the gradient is {} {}, expected {} {}", name_of(grad.dtype()),
                                 mica::to_string(grad.shape()), name_of(dtype()), mica::to_string(shape())));
  if (grad.defined()) require_same_device("set_grad", *this, grad);
  grad_meta()->grad = grad;
}

// ---- checks ----

void require_floating(const char* op, const char* argument, const Tensor& x) {
  if (!is_floating(x.dtype()))
    throw DTypeError(fmt::format("{}: {} is {}, expected f32 or f64; convert it with to()", op, argument, name_of(x.dtype())));
}

void require_same_type(const char* op, const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype())
    throw DTypeError(fmt::format("{}: tensors are {} and {}, expected one dtype; convert one with to()", op,
                                 name_of(a.dtype()), name_of(b.dtype())));
  require_same_device(op, a, b);
}

void require_same_device(const char* op, const Tensor& a, const Tensor& b) {
  if (!(a.device() == b.device()))
    throw DeviceError(fmt::format("{}: tensors are on {} and {}, expected one device; move one with to()", op,
                                  to_string(a.device()), to_string(b.device())));
}

#define MICA_ELEMENT_TYPE(T)                                                     \
  template Tensor Tensor::from<T>(std::span<const T>, const Shape&);             \
  template T* Tensor::data<T>() const;                                           \
  template std::vector<T> Tensor::to_vector<T>() const;                          \
  template T Tensor::item<T>() const;
MICA_ELEMENT_TYPE(float)
MICA_ELEMENT_TYPE(double)
MICA_ELEMENT_TYPE(std::int64_t)
MICA_ELEMENT_TYPE(std::int32_t)
MICA_ELEMENT_TYPE(std::uint8_t)

}  // namespace mica
