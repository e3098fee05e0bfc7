#include "choices.h"

#include <mica/core/error.h>
#include <mica/core/nearest.h>
#include <mica/optim/adam.h>
#include <mica/optim/one_cycle.h>
#include <mica/optim/plateau.h>
#include <mica/optim/rmsprop.h>
#include <mica/optim/schedule_list.h>
#include <mica/optim/sgd.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <sstream>

namespace mica::training {
namespace {

// "name option=value …", from which options are taken one by one.
class Choice {
 public:
  Choice(const char* kind, const std::string& text) : text_(fmt::format("{} '{}'", kind, text)) {
    std::istringstream words(text);
    words >> name;
    for (std::string word; words >> word;) {
      const std::size_t equals = word.find('=');
      if (equals == std::string::npos || equals == 0) fail(fmt::format("expected option=value after the name, got '{}'", word));
      if (!given_.emplace(word.substr(0, equals), word.substr(equals + 1)).second) fail(word.substr(0, equals) + " is given twice");
    }
  }

  // Into value, which stays as it is where the option is not given; then `required` says so.
  template <class T> void take(const char* option, T& value, bool required = false) {
    options_.emplace_back(option);
    const auto found = given_.extract(option);
    if (!found.empty()) parse(option, found.mapped(), value);
    else if (required) fail(fmt::format("{} needs {}=VALUE", name, option));
  }
  // What is left means nothing.
  void finish() const {
    if (!given_.empty())
      fail(fmt::format("{} has no option {}; {}", name, given_.begin()->first, options_.empty() ? "it has none" : said(given_.begin()->first, options_)));
  }
  [[noreturn]] void fail(const std::string& why) const { throw Error(text_ + ": " + why); }

  static std::string said(const std::string& wrong, const std::vector<std::string>& right) {
    const std::string nearest = nearest_name(wrong, right);
    return fmt::format("expected {}{}", fmt::join(right, ", "), nearest.empty() ? "" : "; did you mean " + nearest + "?");
  }

  std::string name;

 private:
  void parse(const char* option, const std::string& text, bool& value) const {
    if (text != "true" && text != "false") fail(fmt::format("expected true or false for {}, got '{}'", option, text));
    value = text == "true";
  }
  template <class T> void parse(const char* option, const std::string& text, std::vector<T>& values) const {  // 8,12
    values.clear();
    std::istringstream parts(text);
    for (std::string part; std::getline(parts, part, ',');) parse(option, part, values.emplace_back());
  }
  template <class T> void parse(const char* option, const std::string& text, T& value) const {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size())
      fail(fmt::format("expected a {}number for {}, got '{}'", std::is_integral_v<T> ? "whole " : "", option, text));
  }

  std::string text_;
  std::map<std::string, std::string> given_;
  std::vector<std::string> options_;  // that were asked for
};

template <class Made, class... Given>
using Makers = std::map<std::string, std::function<std::unique_ptr<Made>(Choice&, Given...)>>;

template <class Made, class... Given>
std::unique_ptr<Made> make(const Makers<Made, Given...>& makers, Choice choice, Given... given) {
  const auto maker = makers.find(choice.name);
  if (maker == makers.end()) {
    std::vector<std::string> names;
    for (const auto& [name, function] : makers) names.push_back(name);
    choice.fail(Choice::said(choice.name, names));
  }
  std::unique_ptr<Made> made = maker->second(choice, given...);
  choice.finish();
  return made;
}

using Parameters = std::vector<Tensor>;

// A new optimizer is a line here, and its options.
const Makers<Optimizer, const Parameters&>& optimizers() {
  static const Makers<Optimizer, const Parameters&> makers{
      {"adam",
       [](Choice& c, const Parameters& parameters) {
         AdamOptions o;
         c.take("lr", o.lr), c.take("beta1", o.betas[0]), c.take("beta2", o.betas[1]), c.take("eps", o.eps), c.take("weight_decay", o.weight_decay);
         return std::make_unique<Adam>(parameters, o);
       }},
      {"adamw",
       [](Choice& c, const Parameters& parameters) {
         AdamWOptions o;
         c.take("lr", o.lr), c.take("beta1", o.betas[0]), c.take("beta2", o.betas[1]), c.take("eps", o.eps), c.take("weight_decay", o.weight_decay);
         return std::make_unique<AdamW>(parameters, o);
       }},
      {"rmsprop",
       [](Choice& c, const Parameters& parameters) {
         RMSpropOptions o;
         c.take("lr", o.lr), c.take("alpha", o.alpha), c.take("eps", o.eps), c.take("weight_decay", o.weight_decay), c.take("momentum", o.momentum);
         c.take("centered", o.centered);
         return std::make_unique<RMSprop>(parameters, o);
       }},
      {"sgd",
       [](Choice& c, const Parameters& parameters) {
         SgdOptions o;
         c.take("lr", o.lr), c.take("momentum", o.momentum), c.take("dampening", o.dampening), c.take("weight_decay", o.weight_decay);
         c.take("nesterov", o.nesterov);
         return std::make_unique<Sgd>(parameters, o);
       }},
  };
  return makers;
}

// A warm-up's options; the defaults are LinearLR's.
struct Linear {
  double start_factor = 1.0 / 3, end_factor = 1;
  std::int64_t total_iters = 5;

  explicit Linear(Choice& c) { c.take("start_factor", start_factor), c.take("end_factor", end_factor), c.take("total_iters", total_iters); }
};

// A new schedule is an entry here. The length is what is left of the training.
const Makers<Schedule, Optimizer&, const TrainingLength&>& schedules() {
  static const Makers<Schedule, Optimizer&, const TrainingLength&> makers{
      {"constant", [](Choice&, Optimizer& optimizer, const TrainingLength&) { return std::make_unique<ExponentialLR>(optimizer, 1); }},
      {"cosine",
       [](Choice& c, Optimizer& optimizer, const TrainingLength& length) {
         std::int64_t T_max = std::max<std::int64_t>(length.epochs, 1);
         double eta_min = 0;
         c.take("T_max", T_max), c.take("eta_min", eta_min);
         return std::make_unique<CosineAnnealingLR>(optimizer, T_max, eta_min);
       }},
      {"exponential",
       [](Choice& c, Optimizer& optimizer, const TrainingLength&) {
         double gamma = 1;
         c.take("gamma", gamma, true);
         return std::make_unique<ExponentialLR>(optimizer, gamma);
       }},
      {"linear",
       [](Choice& c, Optimizer& optimizer, const TrainingLength&) {
         const Linear o(c);
         return std::make_unique<LinearLR>(optimizer, o.start_factor, o.end_factor, o.total_iters);
       }},
      {"multistep",
       [](Choice& c, Optimizer& optimizer, const TrainingLength&) {
         std::vector<std::int64_t> milestones;
         double gamma = 0.1;
         c.take("milestones", milestones, true), c.take("gamma", gamma);
         return std::make_unique<MultiStepLR>(optimizer, milestones, gamma);
       }},
      {"onecycle",
       [](Choice& c, Optimizer& optimizer, const TrainingLength& length) {
         OneCycleOptions o{.max_lr = {optimizer.lr()}, .total_steps = length.epochs * length.batches};
         c.take("max_lr", o.max_lr), c.take("total_steps", o.total_steps), c.take("pct_start", o.pct_start), c.take("cycle_momentum", o.cycle_momentum);
         c.take("base_momentum", o.base_momentum), c.take("max_momentum", o.max_momentum), c.take("div_factor", o.div_factor);
         c.take("final_div_factor", o.final_div_factor), c.take("three_phase", o.three_phase);
         return std::make_unique<OneCycleLR>(optimizer, o);
       }},
      {"plateau",
       [](Choice& c, Optimizer& optimizer, const TrainingLength&) {
         PlateauOptions o;
         c.take("factor", o.factor), c.take("patience", o.patience), c.take("threshold", o.threshold), c.take("cooldown", o.cooldown);
         c.take("min_lr", o.min_lr), c.take("eps", o.eps);
         return std::make_unique<ReduceLROnPlateau>(optimizer, o);
       }},
      {"step",
       [](Choice& c, Optimizer& optimizer, const TrainingLength&) {
         std::int64_t step_size = 0;
         double gamma = 0.1;
         c.take("step_size", step_size, true), c.take("gamma", gamma);
         return std::make_unique<StepLR>(optimizer, step_size, gamma);
       }},
  };
  return makers;
}

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const std::string& text, const std::vector<Tensor>& parameters, std::optional<double> lr) {
  auto optimizer = make<Optimizer, const Parameters&>(optimizers(), Choice("optimizer", text), parameters);
  if (lr) optimizer->set_lr(0, *lr);
  return optimizer;
}

ChosenSchedule make_schedule(const std::string& text, Optimizer& optimizer, const TrainingLength& length) {
  const auto one = [&](const std::string& part, const TrainingLength& left) {
    return make<Schedule, Optimizer&, const TrainingLength&>(schedules(), Choice("scheduler", part), optimizer, left);
  };
  const std::size_t then = text.find(" then ");
  if (then == std::string::npos) return {one(text, length), Choice("scheduler", text).name == "onecycle"};
  const std::string first = text.substr(0, then), rest = text.substr(then + 6);
  Choice warm_up("scheduler", first);
  const Choice main("scheduler", rest);
  if (warm_up.name != "linear" || main.name == "onecycle" || rest.find(" then ") != std::string::npos)
    throw Error(fmt::format("scheduler '{}': expected one 'linear', and after 'then' one that is stepped every epoch", text));
  const std::int64_t epochs = Linear(warm_up).total_iters;
  std::vector<std::unique_ptr<Schedule>> parts;
  parts.push_back(one(first, length));
  parts.push_back(one(rest, {length.epochs - epochs, length.batches}));
  return {std::make_unique<SequentialLR>(optimizer, std::move(parts), std::vector{epochs})};
}

}  // namespace mica::training
