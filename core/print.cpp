// Tensor::to_string: nested brackets in logical order, as NumPy prints, then dtype and shape.
#include <mica/core/dispatch.h>
#include <mica/core/tensor.h>

#include <fmt/format.h>

namespace mica {
namespace {

constexpr std::int64_t edge = 3;      // values kept at either end of a long dimension
constexpr std::int64_t longest = 10;  // of a dimension that is printed whole

template <class T>
void append(std::string& text, const std::vector<T>& values, const Shape& shape, std::size_t dim, std::int64_t& at) {
  if (dim == shape.size()) {
    if constexpr (std::is_floating_point_v<T>) text += fmt::format("{:.6g}", values[static_cast<std::size_t>(at++)]);
    else text += fmt::format("{}", values[static_cast<std::size_t>(at++)]);
    return;
  }
  const bool last = dim + 1 == shape.size();
  const std::string between = last ? ", " : ",\n" + std::string(dim + 1, ' ');
  const std::int64_t step = numel(Shape(shape.begin() + static_cast<std::ptrdiff_t>(dim) + 1, shape.end()));
  text += '[';
  for (std::int64_t i = 0; i < shape[dim]; ++i) {
    if (i > 0) text += between;
    if (shape[dim] > longest && i == edge) {
      text += "…" + between;
      at += (shape[dim] - 2 * edge) * step;
      i = shape[dim] - edge;
    }
    append(text, values, shape, dim + 1, at);
  }
  text += ']';
}

}  // namespace

std::string Tensor::to_string() const {
  if (!defined()) return "Tensor(undefined)";
  std::string text;
  dispatch(*this, [&](auto&, auto t) {
    std::int64_t at = 0;
    append(text, to_vector<decltype(t)>(), shape(), 0, at);
  });
  return fmt::format("Tensor({}, {} {})", text, name_of(dtype()), mica::to_string(shape()));
}

}  // namespace mica
