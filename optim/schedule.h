// Learning-rate schedules: objects beside the optimizer, stepped once an epoch (OneCycleLR: once a batch), with PyTorch's formulas
// and names. Here are those that multiply the rate by a factor of the epoch; others are in optim/one_cycle.h, optim/plateau.h and,
// made of several, optim/schedule_list.h. Each changes the rate that is there, so that several may follow or go with each other.
#pragma once

#include <mica/optim/optimizer.h>

#include <optional>

namespace mica {

class Schedule {
 public:
  using State = Optimizer::State;

  virtual ~Schedule() = default;
  // Call after each epoch. Every schedule may be given the epoch's metric, so that one loop serves all; ReduceLROnPlateau
  // needs it. Where it throws, nothing was stepped.
  void step(std::optional<double> metric = {});

  // What a checkpoint needs, the optimizer's rates (_last_lr) included: after load_state, before or after the optimizer's own, they
  // are what they were, to the bit. Settings (step sizes, factors) are the program's. Errors as the optimizer's.
  State state();
  void load_state(const State& state);

 protected:
  explicit Schedule(Optimizer& optimizer);
  virtual void visit(StateNumbers& state);  // names its numbers as PyTorch does

  Optimizer& optimizer_;
  std::int64_t epoch_ = 0;    // that the rates are of
  std::vector<double> base_;  // rates before any schedule, of the groups that there were

 private:
  friend class ScheduleList;
  virtual void begin() {}  // makes the rates those of epoch 0; constructors call it too
  virtual void update(std::int64_t epoch, std::optional<double> metric) = 0;  // from epoch − 1 to epoch
  virtual void loaded() {}  // new numbers and rates are there
};

// rate = least + (base − least) · factor(epoch), for every group of its own base. Where another has changed the rate, its distance from
// `least` is multiplied by what the factor was multiplied by, as PyTorch's recursive formulas do.
class FactorSchedule : public Schedule {
 protected:
  explicit FactorSchedule(Optimizer& optimizer, double least = 0) : Schedule(optimizer), least_(least) {}
  void begin() override { go(1, factor(0)); }

 private:
  virtual double factor(std::int64_t epoch) const = 0;
  void update(std::int64_t epoch, std::optional<double>) override { go(factor(epoch - 1), factor(epoch)); }
  void go(double before, double now);

  double least_;
};

class StepLR : public FactorSchedule {
 public:
  StepLR(Optimizer& optimizer, std::int64_t step_size, double gamma = 0.1);

 private:
  double factor(std::int64_t epoch) const override;  // gamma^⌊epoch / step_size⌋

  std::int64_t step_size_;
  double gamma_;
};

class MultiStepLR : public FactorSchedule {
 public:
  MultiStepLR(Optimizer& optimizer, std::vector<std::int64_t> milestones, double gamma = 0.1);

 private:
  double factor(std::int64_t epoch) const override;  // gamma^(how many milestones ≤ epoch)

  std::vector<std::int64_t> milestones_;
  double gamma_;
};

class ExponentialLR : public FactorSchedule {
 public:
  ExponentialLR(Optimizer& optimizer, double gamma);

 private:
  double factor(std::int64_t epoch) const override;  // gamma^epoch

  double gamma_;
};

// A warm-up: from start_factor to end_factor, evenly over total_iters epochs (or batches), then as it is.
class LinearLR : public FactorSchedule {
 public:
  explicit LinearLR(Optimizer& optimizer, double start_factor = 1.0 / 3, double end_factor = 1, std::int64_t total_iters = 5);

 private:
  double factor(std::int64_t epoch) const override;

  double start_, end_;
  std::int64_t total_iters_;
};

// Half a cosine from the base down to eta_min in T_max epochs, and up again in as many.
// Source: Loshchilov, Hutter, "SGDR", ICLR 2017, without restarts.
class CosineAnnealingLR : public FactorSchedule {
 public:
  CosineAnnealingLR(Optimizer& optimizer, std::int64_t T_max, double eta_min = 0);

 private:
  double factor(std::int64_t epoch) const override;  // (1 + cos(π·epoch / T_max)) / 2

  std::int64_t T_max_;
};

}  // namespace mica
