#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/scope.h>
#include <mica/kernels/optimizer.h>
#include <mica/optim/rmsprop.h>

#include <fmt/format.h>

namespace mica {

void RMSprop::add_group(const std::vector<Tensor>& parameters, const RMSpropOptions& o) {
  if (!(o.alpha >= 0 && o.alpha <= 1)) throw Error(fmt::format("RMSprop: expected an alpha from 0 to 1, got {}", o.alpha));
  if (!(o.eps >= 0) || !(o.weight_decay >= 0) || !(o.momentum >= 0))
    throw Error(fmt::format("RMSprop: expected eps, weight_decay and momentum of 0 or more, got {}, {} and {}", o.eps, o.weight_decay,
                            o.momentum));
  std::vector<std::string> buffers{"square_avg"};
  if (o.momentum > 0) buffers.push_back("momentum_buffer");
  if (o.centered) buffers.push_back("grad_avg");
  add_parameters(parameters, o.lr, std::move(buffers));
  options_.push_back(o);
}

double* RMSprop::momentum_of(std::size_t group) { return options_[group].momentum == 0 ? nullptr : &options_[group].momentum; }

void RMSprop::step() {
  static const Scope::Name name = std::make_shared<const std::string>("RMSprop");
  const Scope scope(name, Pass::optimizer);
  for (std::size_t g = 0; g < group_count(); ++g)
    for (const DType dtype : {DType::f32, DType::f64}) {
      const std::vector<Parameter*> ready = begin_step(g, dtype);
      if (ready.empty()) continue;
      const RMSpropOptions& o = options_[g];
      dispatch_floating(ready.front()->value, [&](auto& context, auto t) {
        using T = decltype(t);
        std::vector<kernels::RmspropSlot<T>> slots;
        for (const Parameter* p : ready)
          slots.push_back({p->value.numel(), p->value.data<T>(), p->value.grad().template data<T>(), p->buffers[0].data<T>(),
                           o.momentum > 0 ? p->buffers[1].data<T>() : nullptr, o.centered ? p->buffers.back().data<T>() : nullptr});
        const Device device = ready.front()->value.device();
        kernels::rmsprop_step<T>(context, {graph_lr(g, device), o.alpha, o.eps, o.weight_decay, graph_momentum(g, device)}, slots);
      });
      end_step(ready);
    }
}

}  // namespace mica
