#include <mica/core/error.h>
#include <mica/optim/schedule_list.h>

#include <fmt/format.h>

#include <algorithm>

namespace mica {

ScheduleList::ScheduleList(const char* name, Optimizer& optimizer, std::vector<std::unique_ptr<Schedule>> schedules)
    : Schedule(optimizer), schedules_(std::move(schedules)) {
  if (schedules_.empty()) throw Error(fmt::format("{}: expected one schedule or more, got none", name));
  for (std::size_t i = 0; i < schedules_.size(); ++i) {
    if (!schedules_[i]) throw Error(fmt::format("{}: schedule {} is null", name, i));
    if (&schedules_[i]->optimizer_ != &optimizer)
      throw Error(fmt::format("{}: schedule {} is of another optimizer; make all of them for the one that is given here", name, i));
  }
}

void ScheduleList::reset_rates() {
  for (std::size_t group = 0; group < base_.size(); ++group) optimizer_.set_lr(group, base_[group]);
}

void ScheduleList::start(Schedule& schedule) {
  schedule.epoch_ = 0;
  schedule.begin();
}

void ScheduleList::visit(StateNumbers& state) {
  Schedule::visit(state);
  const std::string outer = state.prefix;
  for (std::size_t i = 0; i < schedules_.size(); ++i) {
    state.prefix = fmt::format("{}_schedulers.{}.", outer, i);
    schedules_[i]->visit(state);
  }
  state.prefix = outer;
}

ChainedScheduler::ChainedScheduler(Optimizer& optimizer, std::vector<std::unique_ptr<Schedule>> schedules)
    : ScheduleList("ChainedScheduler", optimizer, std::move(schedules)) {}  // which have made the rates those of epoch 0 already

void ChainedScheduler::begin() {
  for (const auto& schedule : schedules_) start(*schedule);
}

void ChainedScheduler::update(std::int64_t, std::optional<double> metric) {
  for (const auto& schedule : schedules_) schedule->step(metric);
}

void ChainedScheduler::loaded() {
  for (const auto& schedule : schedules_) tell_loaded(*schedule);
}

SequentialLR::SequentialLR(Optimizer& optimizer, std::vector<std::unique_ptr<Schedule>> schedules, std::vector<std::int64_t> milestones)
    : ScheduleList("SequentialLR", optimizer, std::move(schedules)), milestones_(std::move(milestones)) {
  if (milestones_.size() + 1 != schedules_.size())
    throw Error(fmt::format("SequentialLR: expected a milestone between any two schedules, {} for {}, got {}", schedules_.size() - 1,
                            schedules_.size(), milestones_.size()));
  if (!std::is_sorted(milestones_.begin(), milestones_.end())) throw Error("SequentialLR: expected milestones in ascending order");
  begin();
}

Schedule& SequentialLR::at(std::int64_t epoch) const {
  return *schedules_[static_cast<std::size_t>(std::upper_bound(milestones_.begin(), milestones_.end(), epoch) - milestones_.begin())];
}

void SequentialLR::begin() {
  reset_rates();
  start(at(0));
}

void SequentialLR::update(std::int64_t epoch, std::optional<double> metric) {
  Schedule& now = at(epoch);
  if (&now == &at(epoch - 1)) return now.step(metric);
  reset_rates();
  start(now);
}

void SequentialLR::loaded() { tell_loaded(at(epoch_)); }

}  // namespace mica
