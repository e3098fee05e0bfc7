#include <mica/core/error.h>
#include <mica/core/ops/elementwise.h>
#include <mica/layers/residual.h>

#include <fmt/format.h>

namespace mica {

Tensor Residual::forward(const Tensor& x) {
  ensure_named();
  const Tensor y = (*body_)(x), past = shortcut_ ? (*shortcut_)(x) : x;
  if (y.shape() != past.shape())
    throw ShapeError(fmt::format("Residual: the body makes {} of the input {}, but the shortcut is {}; {}", to_string(y.shape()),
                                 to_string(x.shape()), to_string(past.shape()),
                                 shortcut_ ? "both must give one shape"
                                           : "keep the shape in the body, or give a shortcut that changes it too"));
  return add(y, past);
}

void Residual::visit(Visitor& v) {
  v("body", *body_);
  if (shortcut_) v("shortcut", *shortcut_);
}

}  // namespace mica
