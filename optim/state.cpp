#include <mica/core/error.h>
#include <mica/optim/state.h>

#include <fmt/format.h>

namespace mica {

void StateKeys::refuse(const std::string& why) const { throw Error(fmt::format("load_state: the state is of another {}: {}", kind_, why)); }

Tensor StateKeys::take(const std::string& key, const Shape& shape, DType dtype, Device device) {
  const auto node = tensors_.extract(key);
  if (node.empty()) refuse("missing " + key);
  const Tensor& tensor = node.mapped();
  if (tensor.shape() != shape) refuse(fmt::format("{} is {}, expected {}", key, to_string(tensor.shape()), to_string(shape)));
  return tensor.detach().clone().to(dtype).to(device);
}

void StateKeys::expect_none() const {
  if (!tensors_.empty()) refuse("unexpected " + tensors_.begin()->first);
}

void StateNumbers::add(const std::string& key, Place place) { places_.emplace_back(prefix + key, place); }

NamedTensors StateNumbers::state() const {
  NamedTensors state;
  for (const auto& [key, place] : places_) {
    if (const auto* integer = std::get_if<std::int64_t*>(&place)) state.emplace_back(key, Tensor::from<std::int64_t>({**integer}, {}));
    else if (const auto* real = std::get_if<double*>(&place)) state.emplace_back(key, Tensor::full({}, **real, DType::f64));
    else {
      const std::vector<double>& all = **std::get_if<std::vector<double>*>(&place);
      state.emplace_back(key, Tensor::from<double>(all, {static_cast<std::int64_t>(all.size())}));
    }
  }
  return state;
}

void StateNumbers::load(const char* kind, const NamedTensors& state) const {
  StateKeys keys(kind, state);
  std::vector<Tensor> taken;
  for (const auto& [key, place] : places_) {
    const auto* all = std::get_if<std::vector<double>*>(&place);
    const DType dtype = place.index() == 0 ? DType::i64 : DType::f64;
    taken.push_back(keys.take(key, all ? Shape{static_cast<std::int64_t>((*all)->size())} : Shape{}, dtype));
  }
  keys.expect_none();
  for (std::size_t i = 0; i < taken.size(); ++i) {
    const Place& place = places_[i].second;
    if (const auto* integer = std::get_if<std::int64_t*>(&place)) **integer = taken[i].item<std::int64_t>();
    else if (const auto* real = std::get_if<double*>(&place)) **real = taken[i].item<double>();
    else **std::get_if<std::vector<double>*>(&place) = taken[i].to_vector<double>();
  }
}

}  // namespace mica
