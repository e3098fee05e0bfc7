// torch.optim.lr_scheduler.OneCycleLR: one climb of the rate and one descent over the whole training, stepped after every batch.
// Source: Smith, Topin, "Super-Convergence", arXiv:1708.07120.
#pragma once

#include <mica/optim/schedule.h>

namespace mica {

enum class AnnealStrategy { cos, linear };

// The rate goes from max_lr / div_factor to max_lr, down, and to that beginning / final_div_factor; momentum (the first beta of Adam and
// AdamW) from max_momentum to base_momentum and back. Phases end at step pct_start · total_steps − 1 and at total_steps − 1; with
// three_phase the descent to the beginning mirrors the climb, and a last phase goes on down.
struct OneCycleOptions {
  std::vector<double> max_lr;    // one for all groups, or one for each
  std::int64_t total_steps = 0;  // batches an epoch · epochs
  double pct_start = 0.3;
  AnnealStrategy anneal_strategy = AnnealStrategy::cos;
  bool cycle_momentum = true;
  double base_momentum = 0.85, max_momentum = 0.95;
  double div_factor = 25, final_div_factor = 1e4;
  bool three_phase = false;
};

// A step beyond total_steps is an Error, and so is momentum to cycle where a group has none. Steps of a CudaGraph that holds several
// all have the rate of their replay: record one step a graph.
class OneCycleLR : public Schedule {
 public:
  OneCycleLR(Optimizer& optimizer, const OneCycleOptions& options);

 private:
  void begin() override { set(0); }
  void update(std::int64_t epoch, std::optional<double> metric) override;
  void loaded() override { set(epoch_); }
  void set(std::int64_t step);

  OneCycleOptions options_;
};

}  // namespace mica
