// Optimizers' and clipping's kernels on CUDA beside the CPU's: updates to the bit, since both share kernels/optimizer_rules.h;
// sums of powers to 1e-14, since only their order differs.
#include "../compare.h"
#include "../no_device.h"

#include <mica/core/context.h>
#include <mica/core/memory.h>
#include <mica/core/random.h>
#include <mica/kernels/optimizer.h>

#include <limits>

using namespace mica;
using namespace mica::test;

#ifdef MICA_CUDA
namespace {

using kernels::i64;

constexpr double infinity = std::numeric_limits<double>::infinity();

// More tensors than one launch takes; empty, shorter than 16 bytes, longer than a block's piece.
std::vector<i64> sizes() {
  std::vector<i64> all;
  for (int i = 0; i < 300; ++i) all.push_back(std::array<i64, 6>{1, 0, 3, 4, 1000, 17}[static_cast<std::size_t>(i) % 6]);
  all[0] = 70001, all[90] = all[299] = 5003;
  return all;
}

// Arrays of these sizes, in one piece of memory with gaps between them, filled alike for the same name. Some begin at a multiple
// of 16 bytes and the others one element further; which ones these are depends on `shift`.
template <class T>
struct Arrays {
  Tensor all;
  std::vector<Tensor> parts;

  Arrays(const std::vector<i64>& lengths, const std::string& name, unsigned shift, Device device, double low = -1) {
    std::vector<i64> begins;
    i64 end = 0;
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      begins.push_back((end + 4) / 4 * 4 + static_cast<i64>(i / (1 + shift)) % 2);
      end = begins.back() + lengths[i];
    }
    all = Tensor::empty({end + 1}, dtype_of<T>);
    uniform_(all, low, 1, random_key(name));
    all = all.to(device);
    for (std::size_t i = 0; i < lengths.size(); ++i) parts.push_back(all.slice(begins[i], begins[i] + lengths[i]));
  }
  T* operator[](std::size_t i) const { return parts[i].template data<T>(); }
  bool same_as(const Arrays& other) const { return same_bits(all.to(Device::cpu()), other.all.to(Device::cpu())); }
};

template <class Context> Device place();
template <> Device place<kernels::Cpu>() { return Device::cpu(); }
template <> Device place<kernels::Cuda>() { return Device::cuda(); }

template <class T, class Context>
struct Trained {
  Arrays<T> parameters, gradients, first, second, third;

  explicit Trained(const std::vector<i64>& n)
      : parameters(n, "p", 0, place<Context>()), gradients(n, "g", 1, place<Context>()), first(n, "m", 2, place<Context>()),
        second(n, "v", 4, place<Context>(), 0), third(n, "b", 3, place<Context>(), -0.1) {}
};

template <class T, class Context>
Trained<T, Context> sgd(Context& context, const kernels::SgdSettings& settings) {
  Trained<T, Context> t(sizes());
  for (int step = 1; step <= 3; ++step) {
    std::vector<kernels::SgdSlot<T>> slots;
    for (std::size_t i = 0; i < t.parameters.parts.size(); ++i)
      slots.push_back({t.parameters.parts[i].numel(), t.parameters[i], t.gradients[i], settings.momentum.value == 0 ? nullptr : t.first[i], step == 1 || i % 7 == 3});
    kernels::sgd_step<T>(context, settings, slots);
  }
  return t;
}

template <class T, class Context>
Trained<T, Context> adam(Context& context, double lr, const kernels::AdamSettings& settings) {
  Trained<T, Context> t(sizes());
  for (i64 step = 1; step <= 3; ++step) {
    std::vector<kernels::AdamSlot<T>> slots;
    for (std::size_t i = 0; i < t.parameters.parts.size(); ++i)
      slots.push_back({t.parameters.parts[i].numel(), t.parameters[i], t.gradients[i], t.first[i], t.second[i],
                       kernels::AdamBias<T>(lr, settings.beta1.value, settings.beta2, step + static_cast<i64>(i % 3))});
    kernels::adam_step<T>(context, settings, slots);
  }
  return t;
}

template <class T, class Context>
Trained<T, Context> rmsprop(Context& context, const kernels::RmspropSettings& settings, bool with_momentum, bool centered) {
  Trained<T, Context> t(sizes());
  for (int step = 0; step < 3; ++step) {
    std::vector<kernels::RmspropSlot<T>> slots;
    for (std::size_t i = 0; i < t.parameters.parts.size(); ++i)
      slots.push_back({t.parameters.parts[i].numel(), t.parameters[i], t.gradients[i], t.second[i], with_momentum ? t.first[i] : nullptr,
                       centered ? t.third[i] : nullptr});
    kernels::rmsprop_step<T>(context, settings, slots);
  }
  return t;
}

// Averages are the parameters, values the gradients.
template <class T, class Context>
Trained<T, Context> averaged(Context& context, double weight) {
  Trained<T, Context> t(sizes());
  std::vector<kernels::AverageSlot<T>> slots;
  for (std::size_t i = 0; i < t.parameters.parts.size(); ++i)
    slots.push_back({t.parameters.parts[i].numel(), t.parameters[i], t.gradients[i]});
  kernels::average<T>(context, weight, slots);
  return t;
}

template <class T>
void check_same(const Trained<T, kernels::Cpu>& want, const Trained<T, kernels::Cuda>& have) {
  CHECK(have.parameters.same_as(want.parameters));
  CHECK(have.first.same_as(want.first));
  CHECK(have.second.same_as(want.second));
  CHECK(have.third.same_as(want.third));
  CHECK(have.gradients.same_as(want.gradients));
}

kernels::Cuda& cuda() { return cuda_context(Device::cuda()); }

template <class T>
std::vector<kernels::GradientSlot<T>> slots_of(const Arrays<T>& gradients) {
  std::vector<kernels::GradientSlot<T>> slots;
  for (std::size_t i = 0; i < gradients.parts.size(); ++i) slots.push_back({gradients.parts[i].numel(), gradients[i]});
  return slots;
}

template <class T, class Context>
double power_sum(Context& context, double p, const Arrays<T>& gradients) {
  const Tensor sum = Tensor::empty({}, DType::f64, place<Context>());
  kernels::power_sum<T>(context, p, slots_of(gradients), sum.data<double>());
  return sum.item<double>();
}

// One slot's first element on a device becomes value.
template <class T>
void put(const Arrays<T>& arrays, std::size_t i, double value) {
  Tensor first = arrays.parts[i].slice(0, 1);
  first.fill_(value);
}

}  // namespace

TEMPLATE_TEST_CASE("SGD on CUDA: the CPU's bits for 300 tensors of all sizes", "[cuda]", float, double) {
  if (no_device()) return;
  for (const kernels::SgdSettings& settings :
       {kernels::SgdSettings{0.1, 0, 0, 0, false}, {0.1, 0, 0, 0.01, false}, {0.1, 0.9, 0, 0, false}, {0.1, 0.9, 0.2, 0.01, false},
        {0.1, 0.9, 0, 0.01, true}}) {
    INFO(settings.momentum.value << " " << settings.dampening << " " << settings.weight_decay << " " << settings.nesterov);
    check_same(sgd<TestType>(cpu_context(), settings), sgd<TestType>(cuda(), settings));
  }
  kernels::sgd_step<TestType>(cuda(), {0.1, 0, 0, 0, false}, {});
}

TEMPLATE_TEST_CASE("Adam on CUDA: the CPU's bits for 300 tensors of all sizes", "[cuda]", float, double) {
  if (no_device()) return;
  for (const kernels::AdamSettings& settings : {kernels::AdamSettings{0.9, 0.999, 1e-8, 0}, {0.5, 0.9, 1e-3, 0.01}, {0.9, 0.99, 1e-8, 0, 0.97}})
    check_same(adam<TestType>(cpu_context(), 0.1, settings), adam<TestType>(cuda(), 0.1, settings));
}

TEMPLATE_TEST_CASE("RMSprop on CUDA: the CPU's bits for 300 tensors of all sizes", "[cuda]", float, double) {
  if (no_device()) return;
  const kernels::RmspropSettings settings{0.1, 0.9, 1e-2, 0.01, 0.8};
  for (const bool with_momentum : {false, true})
    for (const bool centered : {false, true}) {
      INFO(with_momentum << centered);
      check_same(rmsprop<TestType>(cpu_context(), settings, with_momentum, centered),
                 rmsprop<TestType>(cuda(), settings, with_momentum, centered));
    }
  kernels::rmsprop_step<TestType>(cuda(), settings, {});
}

TEMPLATE_TEST_CASE("averages on CUDA: the CPU's bits for 300 tensors of all sizes; a weight of 1 copies", "[cuda]", float, double) {
  if (no_device()) return;
  for (const double weight : {0.001, 0.7, 0.0, 1.0}) {
    const auto here = averaged<TestType>(cpu_context(), weight);
    check_same(here, averaged<TestType>(cuda(), weight));
    if (weight == 1) CHECK(values(here.parameters.parts[0]) == values(here.gradients.parts[0]));
  }
}

TEMPLATE_TEST_CASE("sums of powers on CUDA equal the CPU's", "[cuda]", float, double) {
  if (no_device()) return;
  const Arrays<TestType> here(sizes(), "g", 1, Device::cpu()), there(sizes(), "g", 1, Device::cuda());
  for (const double p : {1.0, 2.0, 3.0, 0.5, infinity}) {
    INFO(p);
    const double once = power_sum(cuda(), p, there);
    CHECK(once == Approx(power_sum(cpu_context(), p, here)).epsilon(1e-14));
    if (p == 2) CHECK(once == power_sum(cuda(), p, there));
  }
  CHECK(power_sum(cuda(), 2, Arrays<TestType>({}, "g", 1, Device::cuda())) == 0);
  CHECK(power_sum(cuda(), infinity, Arrays<TestType>({0, 0}, "g", 1, Device::cuda())) == 0);
  put(there, 299, -5);
  CHECK(power_sum(cuda(), infinity, there) == 5);
  put(there, 90, infinity);
  CHECK(power_sum(cuda(), infinity, there) == infinity);
  CHECK(power_sum(cuda(), 2, there) == infinity);
  put(there, 2, std::numeric_limits<double>::quiet_NaN());
  for (const double p : {1.0, 2.0, 3.0, infinity}) CHECK(std::isnan(power_sum(cuda(), p, there)));
}

TEST_CASE("the clip factor on CUDA equals the CPU's", "[cuda]") {
  if (no_device()) return;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::array<double, 2>> sums{{9, 16}, {0, 0}, {1e300, 1}, {infinity, 2}, {nan, 1}, {1, nan}, {3, 5}};
  for (const auto& pair : sums)
    for (const double p : {1.0, 2.0, 3.0, infinity})
      for (const int parts : {1, 2}) {
        INFO(pair[0] << " " << pair[1] << ", p " << p);
        const Tensor in = Tensor::from<double>({pair[0], pair[1]}, {2}), out = Tensor::zeros({2}, DType::f64);
        const Tensor there = in.to(Device::cuda()), result = out.to(Device::cuda());
        double* const own = out.data<double>();
        double* const far = result.data<double>();
        kernels::clip_factor(cpu_context(), p, 2.5, parts, in.data<double>(), own, own + 1);
        kernels::clip_factor(cuda(), p, 2.5, parts, there.data<double>(), far, far + 1);
        const std::vector<double> have = result.to_vector<double>();
        for (std::size_t k = 0; k < 2; ++k) {
          CHECK(std::isnan(have[k]) == std::isnan(own[k]));
          if (!std::isnan(own[k])) CHECK(have[k] == Approx(own[k]).epsilon(1e-15));
        }
      }
}

TEMPLATE_TEST_CASE("scaling and clamping on CUDA: the CPU's bits", "[cuda]", float, double) {
  if (no_device()) return;
  Arrays<TestType> here(sizes(), "g", 1, Device::cpu()), there(sizes(), "g", 1, Device::cuda());
  for (const double factor : {0.3, 1.0, -2.0}) {
    const Tensor own = Tensor::full({}, factor, DType::f64);
    kernels::scale<TestType>(cpu_context(), own.data<double>(), slots_of(here));
    kernels::scale<TestType>(cuda(), own.to(Device::cuda()).data<double>(), slots_of(there));
    CHECK(there.same_as(here));
  }
  for (const Arrays<TestType>* arrays : {&here, &there}) put(*arrays, 0, std::numeric_limits<double>::quiet_NaN()), put(*arrays, 3, infinity);
  kernels::clamp<TestType>(cpu_context(), 0.2, slots_of(here));
  kernels::clamp<TestType>(cuda(), 0.2, slots_of(there));
  CHECK(there.same_as(here));
}
#endif
