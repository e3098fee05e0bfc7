#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/replayed.h>
#include <mica/core/scope.h>
#include <mica/kernels/optimizer.h>
#include <mica/optim/sgd.h>

#include <fmt/format.h>

namespace mica {

void Sgd::add_group(const std::vector<Tensor>& parameters, const SgdOptions& o) {
  if (!(o.momentum >= 0) || !(o.weight_decay >= 0))
    throw Error(fmt::format("Sgd: expected momentum and weight_decay of 0 or more, got {} and {}", o.momentum, o.weight_decay));
  if (o.nesterov && (o.momentum == 0 || o.dampening != 0))
    throw Error(fmt::format("Sgd: nesterov needs momentum and no dampening, got momentum {} and dampening {}", o.momentum, o.dampening));
  add_parameters(parameters, o.lr, o.momentum == 0 ? std::vector<std::string>{} : std::vector<std::string>{"momentum_buffer"});
  options_.push_back(o);
}

double* Sgd::momentum_of(std::size_t group) { return options_[group].momentum == 0 ? nullptr : &options_[group].momentum; }

void Sgd::step() {
  static const Scope::Name name = std::make_shared<const std::string>("Sgd");
  const Scope scope(name, Pass::optimizer);
  for (std::size_t g = 0; g < group_count(); ++g)
    for (const DType dtype : {DType::f32, DType::f64}) {
      const std::vector<Parameter*> ready = begin_step(g, dtype);
      if (ready.empty()) continue;
      const SgdOptions& o = options_[g];
      dispatch_floating(ready.front()->value, [&](auto& context, auto t) {
        using T = decltype(t);
        std::vector<kernels::SgdSlot<T>> slots;
        for (const Parameter* p : ready) {
          T* const momentum = p->buffers.empty() ? nullptr : p->buffers[0].data<T>();
          const auto first = momentum ? replayed<bool>(p->value.device(), [p] { return p->steps == 0; }) : GraphValue<bool>();
          slots.push_back({p->value.numel(), p->value.data<T>(), p->value.grad().template data<T>(), momentum, first});
        }
        const Device device = ready.front()->value.device();
        kernels::sgd_step<T>(context, {graph_lr(g, device), graph_momentum(g, device), o.dampening, o.weight_decay, o.nesterov}, slots);
      });
      end_step(ready);
    }
}

}  // namespace mica
