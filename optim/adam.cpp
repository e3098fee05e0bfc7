#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/replayed.h>
#include <mica/core/scope.h>
#include <mica/kernels/optimizer.h>
#include <mica/optim/adam.h>

#include <fmt/format.h>

namespace mica {

Adam::Adam(const char* name) : name_(std::make_shared<const std::string>(name)) {}

void Adam::add_group(const std::vector<Tensor>& parameters, const AdamOptions& o) {
  const auto is_beta = [](double beta) { return beta >= 0 && beta < 1; };
  if (!is_beta(o.betas[0]) || !is_beta(o.betas[1]))
    throw Error(fmt::format("{}: expected betas from 0 to below 1, got {} and {}", *name_, o.betas[0], o.betas[1]));
  if (!(o.eps >= 0) || !(o.weight_decay >= 0))
    throw Error(fmt::format("{}: expected eps and weight_decay of 0 or more, got {} and {}", *name_, o.eps, o.weight_decay));
  add_parameters(parameters, o.lr, {"exp_avg", "exp_avg_sq"});
  options_.push_back(o);
}

void Adam::step() {
  const Scope scope(name_, Pass::optimizer);
  for (std::size_t g = 0; g < group_count(); ++g)
    for (const DType dtype : {DType::f32, DType::f64}) {
      const std::vector<Parameter*> ready = begin_step(g, dtype);
      if (ready.empty()) continue;
      const AdamOptions& o = options_[g];
      dispatch_floating(ready.front()->value, [&](auto& context, auto t) {
        using T = decltype(t);
        std::vector<kernels::AdamSlot<T>> slots;
        for (const Parameter* p : ready) {
          const auto bias = replayed<kernels::AdamBias<T>>(p->value.device(), [this, g, p] {
            const std::array<double, 2>& betas = options_[g].betas;
            return kernels::AdamBias<T>(lr(g), betas[0], betas[1], p->steps + 1);
          });
          slots.push_back({p->value.numel(), p->value.data<T>(), p->value.grad().template data<T>(), p->buffers[0].data<T>(),
                           p->buffers[1].data<T>(), bias});
        }
        const Device device = ready.front()->value.device();
        const bool decoupled = o.decoupled_weight_decay;
        const auto keep = replayed<double>(device, [this, g, decoupled] { return decoupled ? 1 - lr(g) * options_[g].weight_decay : 1; });
        kernels::adam_step<T>(context, {graph_momentum(g, device), o.betas[1], o.eps, decoupled ? 0 : o.weight_decay, keep}, slots);
      });
      end_step(ready);
    }
}

}  // namespace mica
