// Schedules made of several, which they own:
//   std::vector<std::unique_ptr<Schedule>> parts;
//   parts.push_back(std::make_unique<LinearLR>(optimizer, 0.1, 1, 5));          // five epochs of warm-up,
//   parts.push_back(std::make_unique<CosineAnnealingLR>(optimizer, 45));        // then a cosine of 45
//   SequentialLR schedule(optimizer, std::move(parts), {5});
// Parts may be of any kind, ReduceLROnPlateau (which PyTorch does not take here, as its step needs a metric) and lists included, all
// of the same optimizer (Error). In a state they are _schedulers.0, _schedulers.1, …
#pragma once

#include <mica/optim/schedule.h>

#include <memory>

namespace mica {

class ScheduleList : public Schedule {
 protected:
  ScheduleList(const char* name, Optimizer& optimizer, std::vector<std::unique_ptr<Schedule>> schedules);

  void reset_rates();                     // to those before any schedule
  static void start(Schedule& schedule);  // at epoch 0
  static void tell_loaded(Schedule& schedule) { schedule.loaded(); }

  std::vector<std::unique_ptr<Schedule>> schedules_;

 private:
  void visit(StateNumbers& state) override;
};

// Steps all of them, one after the other, each changing what the ones before made of the rate.
class ChainedScheduler : public ScheduleList {
 public:
  ChainedScheduler(Optimizer& optimizer, std::vector<std::unique_ptr<Schedule>> schedules);

 private:
  void begin() override;
  void update(std::int64_t epoch, std::optional<double> metric) override;
  void loaded() override;
};

// Steps one of them: the first until milestones[0], where the second begins anew from the rates before any schedule, and so on.
class SequentialLR : public ScheduleList {
 public:
  SequentialLR(Optimizer& optimizer, std::vector<std::unique_ptr<Schedule>> schedules, std::vector<std::int64_t> milestones);

 private:
  void begin() override;
  void update(std::int64_t epoch, std::optional<double> metric) override;
  void loaded() override;
  Schedule& at(std::int64_t epoch) const;

  std::vector<std::int64_t> milestones_;
};

}  // namespace mica
