#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/kernels/optimizer.h>
#include <mica/optim/sgd.h>

#include <fmt/format.h>

namespace mica {

void Sgd::add_group(const std::vector<Tensor>& parameters, const SgdOptions& o) {
  if (!(o.momentum >= 0) || !(o.weight_decay >= 0))
    throw Error(fmt::format("Sgd: expected momentum and weight_decay of 0 or more, got {} and {}", o.momentum, o.weight_decay));
  if (o.nesterov && (o.momentum == 0 || o.dampening != 0))
    throw Error(fmt::format("Sgd: nesterov needs momentum and no dampening, got momentum {} and dampening {}", o.momentum, o.dampening));
  add_parameters(parameters, o.lr);
  groups_.push_back({o, std::vector<Tensor>(parameters.size())});
}

void Sgd::step() {
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    Group& group = groups_[g];
    const SgdOptions& o = group.options;
    const std::vector<Tensor>& all = parameters(g);
    dispatch_floating(all.front(), [&](auto& context, auto t) {
      using T = decltype(t);
      std::vector<kernels::SgdSlot<T>> slots;
      for (std::size_t i = 0; i < all.size(); ++i) {
        const Tensor gradient = all[i].grad();
        if (!gradient.defined()) continue;
        Tensor& momentum = group.momentum[i];
        const bool first = !momentum.defined();
        if (first && o.momentum != 0) momentum = Tensor::zeros(all[i].shape(), all[i].dtype(), all[i].device());
        slots.push_back({all[i].numel(), all[i].data<T>(), gradient.data<T>(), momentum.defined() ? momentum.data<T>() : nullptr, first});
        all[i].bump_version();
      }
      kernels::sgd_step<T>(context, {lr(g), o.momentum, o.dampening, o.weight_decay, o.nesterov}, slots);
    });
  }
}

}  // namespace mica
