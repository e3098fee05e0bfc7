#include <mica/core/error.h>
#include <mica/core/json_string.h>
#include <mica/core/settings.h>
#include <mica/layers/conv2d.h>
#include <mica/layers/linear.h>
#include <mica/layers/profile.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

namespace mica {

struct Profile::Layer {
  std::string name, label;  // of its scope; with the layers that run fused with it
  bool leaf = true;
  bool learns = false, needs_gx = false, has_backward = false;
  double x = 0, y = 0, w = 0;  // bytes of input, output and parameters
  double flops = 0, backward_flops = 0;
  int reads = 1;
  bool tf32 = false;

  Part forward() const { return {0, flops, reads * x + y + w, tf32}; }
  Part backward() const {
    if (!has_backward) return {};
    return {0, backward_flops, reads * (x + y) + (needs_gx ? x : 0) + (learns ? 2 : 1) * w, tf32};
  }
  void fuse(const Layer& next) {
    label += "+" + next.label;
    learns = learns || next.learns, has_backward = has_backward || next.has_backward;
    tf32 = tf32 || next.tf32;
    y = next.y, w += next.w, flops += next.flops, backward_flops += next.backward_flops;
  }
};

namespace {

double bytes_of(const Tensor& x) { return static_cast<double>(x.numel()) * static_cast<double>(size_of(x.dtype())); }

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return (values[values.size() / 2] + values[(values.size() - 1) / 2]) / 2;
}

bool allows_tf32(Module& module, const Tensor& x) {
  if (x.device() == Device::cpu() || x.dtype() != DType::f32) return false;
  return (dynamic_cast<Conv2d*>(&module) && cudnn_tf32_allowed()) || (dynamic_cast<Linear*>(&module) && matmul_tf32_allowed());
}

Device device_of(Module& network) {
  const std::vector<Tensor> parameters = network.parameters();
  return parameters.empty() ? Device::cpu() : parameters.front().device();
}

const char* name_of(Pass pass) {
  constexpr const char* names[] = {"forward", "backward", "data", "optimizer"};
  return names[static_cast<int>(pass)];
}

}  // namespace

struct Profile::Layers final : ForwardObserver {
  std::vector<Layer> seen;

  void after(Module& module, const Tensor& x, const Tensor& y) override {
    Layer layer{*module.scope(), *module.scope(), module.children().empty()};
    const bool view = x.raw_data() == y.raw_data() && x.shape() != y.shape();
    if (layer.leaf && !view) {
      layer.x = bytes_of(x), layer.y = bytes_of(y), layer.flops = static_cast<double>(module.flops(y.shape())), layer.reads = module.input_reads();
      layer.tf32 = allows_tf32(module, x);
      for (const Tensor& parameter : module.parameters()) {
        layer.w += bytes_of(parameter);
        layer.learns = layer.learns || parameter.requires_grad();
      }
      layer.needs_gx = x.requires_grad(), layer.has_backward = y.requires_grad();
      layer.backward_flops = layer.flops * (int{layer.needs_gx} + int{layer.learns});
    }
    seen.push_back(std::move(layer));
  }
};

Profile::Profile(Module& network, const Shape& input) : device_(device_of(network)), timeline_(device_) {
  const std::vector<Tensor> parameters = network.parameters();
  const EvalMode eval(network);
  Layers layers;
  network(Tensor::zeros(input, parameters.empty() ? DType::f32 : parameters.front().dtype(), device_));
  layers_ = std::move(layers.seen);
}

Profile::~Profile() = default;

// ---- measuring ----

void Profile::begin_step() {
  open_.clear();
  failure_ = nullptr;
  step_.emplace();
  step_->begin = timeline_.mark();
}

void Profile::end_step() {
  if (!step_) throw Error("Profile::end_step: no step was begun; call begin_step() before it");
  Step step = std::move(*std::exchange(step_, {}));
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  step.end = timeline_.mark();
  for (const std::size_t interval : open_) step.intervals[interval].end = step.end;
  steps_.push_back(std::move(step));
}

void Profile::enter(const std::string& name, Pass pass) noexcept {
  if (!step_ || failure_) return;
  try {
    std::vector<Interval>& intervals = step_->intervals;
    intervals.push_back({name, pass, 0, 0, open_.empty() ? std::nullopt : std::optional(open_.back())});
    open_.push_back(intervals.size() - 1);
    intervals.back().begin = timeline_.mark();
  } catch (...) {
    failure_ = std::current_exception();
  }
}

void Profile::leave(const std::string&, Pass) noexcept {
  if (!step_ || failure_ || open_.empty()) return;  // it began before the step
  try {
    step_->intervals[open_.back()].end = timeline_.mark();
    open_.pop_back();
  } catch (...) {
    failure_ = std::current_exception();
  }
}

// ---- rows ----

void Profile::require_steps() const {
  if (steps_.empty()) throw Error("Profile: no step was measured; call begin_step() before one and end_step() after it");
}

// A layer that ran alone in evaluation mode, but whose scope never came, ran fused with the one before. Modules with children are left
// out unless a backward of their own came.
std::vector<Profile::Layer> Profile::layers_as_run() const {
  std::set<std::pair<std::string, Pass>> came;
  for (const Step& step : steps_)
    for (const Interval& interval : step.intervals) came.emplace(interval.name, interval.pass);
  std::vector<Layer> layers;
  for (const Layer& layer : layers_)
    if (layer.leaf && !layers.empty() && !came.contains({layer.name, Pass::forward})) layers.back().fuse(layer);
    else if (layer.leaf || came.contains({layer.name, Pass::backward})) layers.push_back(layer);
  return layers;
}

namespace {

// What scopes took by themselves, without those in them, in each step; ms.
class OwnTimes {
 public:
  explicit OwnTimes(std::size_t steps) : left_(steps) {}
  void add_step(std::size_t step, double ms) { left_[step] += ms; }
  void add(std::size_t step, const std::string& name, Pass pass, double ms) {
    std::vector<double>& times = times_[{name, pass}];
    times.resize(left_.size());
    times[step] += ms;
  }

  // The median of the steps; these times are no longer in left().
  double take(const std::string& name, Pass pass) {
    const auto found = times_.find({name, pass});
    if (found == times_.end()) return 0;
    for (std::size_t step = 0; step < left_.size(); ++step) left_[step] -= found->second[step];
    return median(found->second);
  }
  double left() const { return median(left_); }

 private:
  std::vector<double> left_;
  std::map<std::pair<std::string, Pass>, std::vector<double>> times_;
};

Profile::Row network_row(OwnTimes& own, const std::string& label, const std::string& scope) {
  const double forward = own.take(scope, Pass::forward), backward = own.take(scope, Pass::backward);
  return {label, {forward, 0, 0}, {backward, 0, 0}, forward + backward};
}

void add_work(Profile::Part& to, const Profile::Part& work) {
  to.flops += work.flops, to.bytes += work.bytes, to.tf32 = to.tf32 || work.tf32;
}

}  // namespace

std::vector<Profile::Row> Profile::rows() const {
  require_steps();
  const std::vector<double> moments = timeline_.read();
  const auto ms = [&](const auto& span) { return (moments[span.end] - moments[span.begin]) / 1e3; };
  OwnTimes own(steps_.size());
  for (std::size_t s = 0; s < steps_.size(); ++s) {
    own.add_step(s, ms(steps_[s]));
    for (const Interval& interval : steps_[s].intervals) {
      own.add(s, interval.name, interval.pass, ms(interval));
      if (!interval.around) continue;
      const Interval& around = steps_[s].intervals[*interval.around];
      own.add(s, around.name, around.pass, -ms(interval));
    }
  }

  std::vector<Row> rows;
  std::map<std::string, std::size_t> places;  // by scope: a layer may be called several times
  for (const Layer& layer : layers_as_run()) {
    const auto [place, first] = places.emplace(layer.name, rows.size());
    if (first) rows.push_back(network_row(own, layer.label, layer.name));
    add_work(rows[place->second].forward, layer.forward());
    add_work(rows[place->second].backward, layer.backward());
  }
  for (const Layer& layer : layers_) places.emplace(layer.name, 0);  // what has no row of its own is in another's, or in "other"
  std::vector<Row> beside;  // the network
  for (const Step& step : steps_)
    for (const Interval& interval : step.intervals) {
      const bool network = interval.pass == Pass::forward || interval.pass == Pass::backward;
      const std::string label = network ? interval.name : fmt::format("{} ({})", interval.name, name_of(interval.pass));
      if (!places.emplace(label, 0).second) continue;
      if (network) rows.push_back(network_row(own, label, interval.name));
      else beside.push_back({label, {}, {}, own.take(interval.name, interval.pass)});
    }
  rows.insert(rows.end(), beside.begin(), beside.end());
  rows.push_back({"other", {}, {}, own.left()});
  return rows;
}

double Profile::step_ms() const {
  require_steps();
  const std::vector<double> moments = timeline_.read();
  std::vector<double> times;
  for (const Step& step : steps_) times.push_back((moments[step.end] - moments[step.begin]) / 1e3);
  return median(times);
}

// ---- reports ----

namespace {

std::string rate(double work, double ms) { return work > 0 && ms > 0 ? fmt::format("{:.1f}", work / ms * 1e-6) : "-"; }

// "93% FMA ": the least time that the ceilings allow, of the time taken, and which of them it is.
std::string of_ceiling(const Profile::Part& part, const Profile::Ceilings& ceilings) {
  if (!(ceilings.flops > 0 && ceilings.bandwidth > 0 && part.bytes > 0 && part.ms > 0)) return "-";
  const bool tensor_cores = part.tf32 && ceilings.tf32_flops > ceilings.flops;
  const double by_flops = part.flops / (tensor_cores ? ceilings.tf32_flops : ceilings.flops), by_bytes = part.bytes / ceilings.bandwidth;
  const char* const binding = by_flops <= by_bytes ? "copy" : tensor_cores ? "TF32" : "FMA ";
  return fmt::format("{:.0f}% {}", std::max(by_flops, by_bytes) / part.ms * 1e5, binding);
}

constexpr const char* columns_format = "{:>9}{:>9}{:>8}{:>12}";

std::string columns(const Profile::Part& part, const Profile::Ceilings& ceilings) {
  return fmt::format(columns_format, part.ms > 0 ? fmt::format("{:.3f}", part.ms) : "-", rate(part.flops, part.ms),
                     rate(part.bytes, part.ms), of_ceiling(part, ceilings));
}

}  // namespace

std::string Profile::table(const Ceilings& ceilings) const {
  const double step = step_ms();
  const std::vector<Row> all = rows();
  std::size_t wide = 24;
  for (const Row& row : all) wide = std::max(wide, row.name.size());
  const std::string rule(wide + 2 * 38 + 18, '-'), titles = fmt::format(columns_format, "ms", "GFLOP/s", "GB/s", "of ceiling");
  std::string text = fmt::format("{:<{}}{:^38}{:^38}\n", "Profile of " + to_string(device_), wide, "forward", "backward");
  text += fmt::format("{:<{}}{}{}{:>9}{:>9}\n{}\n", "layer", wide, titles, titles, "both ms", "share", rule);
  for (const Row& row : all)
    text += fmt::format("{:<{}}{}{}{:>9.3f}{:>7.1f} %\n", row.name, wide, columns(row.forward, ceilings), columns(row.backward, ceilings),
                        row.ms, step > 0 ? 100 * row.ms / step : 0);
  return text + fmt::format("{}\n{:<{}}{:>9.3f}{:>7.1f} %\n", rule, "step", wide + 2 * 38, step, 100.0);
}

std::string Profile::chrome_trace() const {
  require_steps();
  const std::vector<double> moments = timeline_.read();
  const auto nanoseconds = [&](std::size_t moment) { return std::round(moments[moment] * 1e3); };  // whole ones nest exactly
  std::map<std::string, Layer> layers;
  for (const Layer& layer : layers_as_run()) layers.emplace(layer.name, layer);
  std::string events;
  const auto complete = [&](const std::string& name, const char* category, const auto& span, const std::string& arguments) {
    const double begin = nanoseconds(span.begin), end = nanoseconds(span.end);
    events += fmt::format(R"(,
{{"name":{},"cat":"{}","ph":"X","ts":{},"dur":{},"pid":1,"tid":1,"args":{{{}}}}})",
                          json_string(name), category, begin / 1e3, (end - begin) / 1e3, arguments);
  };
  events += R"({"name":"process_name","ph":"M","pid":1,"tid":1,"args":{"name":"mica"}},
)";
  events += fmt::format(R"({{"name":"thread_name","ph":"M","pid":1,"tid":1,"args":{{"name":{}}}}})", json_string(to_string(device_)));
  for (std::size_t s = 0; s < steps_.size(); ++s) {
    complete(fmt::format("step {}", s + 1), "step", steps_[s], "");
    for (const Interval& interval : steps_[s].intervals) {
      const auto layer = layers.find(interval.name);
      if (layer == layers.end()) {
        complete(interval.name, name_of(interval.pass), interval, "");
        continue;
      }
      const Part work = interval.pass == Pass::backward ? layer->second.backward() : layer->second.forward();
      complete(layer->second.label, name_of(interval.pass), interval, fmt::format(R"("flops":{},"bytes":{})", work.flops, work.bytes));
    }
  }
  return "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n" + events + "\n]}\n";
}

}  // namespace mica
