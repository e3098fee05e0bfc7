#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/replayed.h>
#include <mica/core/scope.h>
#include <mica/kernels/optimizer.h>
#include <mica/optim/average.h>

#include <fmt/format.h>

namespace mica {

ExponentialMovingAverage::ExponentialMovingAverage(const NamedTensors& values, double decay) : decay_(decay) {
  if (!(decay >= 0 && decay <= 1)) throw Error(fmt::format("ExponentialMovingAverage: expected a decay from 0 to 1, got {}", decay));
  if (values.empty()) throw Error("ExponentialMovingAverage: there is nothing to average; give the result of state_dict()");
  for (const auto& [key, value] : values) pairs_.push_back({key, value, value.detach().clone()});
}

void ExponentialMovingAverage::follow() {
  for (Pair& pair : pairs_) {
    require_same_device("ExponentialMovingAverage", pairs_.front().value, pair.value);
    pair.average = pair.average.to(pair.value.dtype()).to(pair.value.device());
  }
}

void ExponentialMovingAverage::update() {
  static const Scope::Name name = std::make_shared<const std::string>("ExponentialMovingAverage");
  const Scope scope(name, Pass::optimizer);
  if (in_use_) throw Error("ExponentialMovingAverage: update while the averages are in the network; end AveragedWeights first");
  follow();
  const Device device = pairs_.front().value.device();
  const auto weight = replayed<double>(device, [this] { return count_ == 0 ? 1 : 1 - decay_; });
  for (const DType dtype : {DType::f32, DType::f64}) {
    std::vector<const Pair*> some;
    for (const Pair& pair : pairs_)
      if (pair.value.dtype() == dtype) some.push_back(&pair);
    if (some.empty()) continue;
    dispatch_floating(some.front()->value, [&](auto& context, auto t) {
      using T = decltype(t);
      std::vector<kernels::AverageSlot<T>> slots;
      for (const Pair* pair : some) slots.push_back({pair->value.numel(), pair->average.data<T>(), pair->value.data<T>()});
      kernels::average<T>(context, weight, slots);
    });
    for (const Pair* pair : some) pair->average.bump_version();
  }
  for (Pair& pair : pairs_)
    if (!is_floating(pair.value.dtype())) pair.average.copy_(pair.value);
  replayed<char>(device, [this] {
    ++count_;
    return char{};
  });
}

NamedTensors ExponentialMovingAverage::state() const {
  NamedTensors state{{"n_averaged", Tensor::from<std::int64_t>({count_}, {})}};
  for (const Pair& pair : pairs_) state.emplace_back("module." + pair.key, pair.average.clone());
  return state;
}

void ExponentialMovingAverage::load_state(const NamedTensors& state) {
  StateKeys keys("average", state);
  const std::int64_t count = keys.take("n_averaged", {}, DType::i64).item<std::int64_t>();
  std::vector<Tensor> loaded;
  for (const Pair& pair : pairs_)
    loaded.push_back(keys.take("module." + pair.key, pair.average.shape(), pair.average.dtype(), pair.average.device()));
  keys.expect_none();
  count_ = count;
  for (std::size_t i = 0; i < pairs_.size(); ++i) pairs_[i].average.copy_(loaded[i]);  // a captured graph works on them
}

AveragedWeights::AveragedWeights(ExponentialMovingAverage& average) : average_(average) {
  if (average.in_use_) throw Error("AveragedWeights: the averages are in the network already; end the other AveragedWeights first");
  average.follow();
  for (const auto& pair : average.pairs_) before_.push_back({pair.value.detach(), pair.value.grad()});
  for (auto& pair : average.pairs_) pair.value.adopt(pair.average);
  average.in_use_ = true;
}

AveragedWeights::~AveragedWeights() {
  for (std::size_t i = 0; i < before_.size(); ++i) {
    Tensor& value = average_.pairs_[i].value;
    value.adopt(before_[i].elements);
    if (value.requires_grad()) value.set_grad(before_[i].gradient);
  }
  average_.in_use_ = false;
}

}  // namespace mica
