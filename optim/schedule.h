// Learning-rate schedules: objects beside the optimizer, stepped once an epoch, with PyTorch's formulas.
#pragma once

#include <mica/optim/optimizer.h>

#include <optional>

namespace mica {

class Schedule {
 public:
  virtual ~Schedule() = default;
  // Call after each epoch. Every schedule may be given the epoch's metric, so that one loop serves all; ReduceLROnPlateau
  // needs it.
  void step(std::optional<double> metric = {}) { update(metric); }

 private:
  virtual void update(std::optional<double> metric) = 0;
};

// lr = base · gamma^⌊epoch / step_size⌋, for every group of its own base.
class StepLR : public Schedule {
 public:
  StepLR(Optimizer& optimizer, std::int64_t step_size, double gamma = 0.1);

 private:
  void update(std::optional<double> metric) override;

  Optimizer& optimizer_;
  std::vector<double> base_;
  std::int64_t step_size_, epoch_ = 0;
  double gamma_;
};

enum class PlateauMode { min, max };           // is a better metric a lower one, or a higher one?
enum class ThresholdMode { relative, absolute };

struct PlateauOptions {
  PlateauMode mode = PlateauMode::min;
  double factor = 0.1;                 // of the rate, below 1
  std::int64_t patience = 10;          // bad epochs that are let pass
  double threshold = 1e-4;             // better is better by more than this
  ThresholdMode threshold_mode = ThresholdMode::relative;
  std::int64_t cooldown = 0;           // epochs after a reduction in which none counts as bad
  std::vector<double> min_lr{0};       // one for all groups, or one for each
  double eps = 1e-8;                   // a smaller reduction is left out
};

// torch.optim.lr_scheduler.ReduceLROnPlateau: lr = max(lr · factor, min_lr) after more than `patience` epochs in a row
// whose metric is not better than the best so far. Better, for min: metric < best · (1 − threshold), or with an absolute
// threshold metric < best − threshold; for max: > and +. NaN is never better.
class ReduceLROnPlateau : public Schedule {
 public:
  explicit ReduceLROnPlateau(Optimizer& optimizer, const PlateauOptions& options = {});

 private:
  void update(std::optional<double> metric) override;
  bool is_better(double metric) const;
  void reduce();

  Optimizer& optimizer_;
  PlateauOptions options_;
  double best_;
  std::int64_t bad_epochs_ = 0, cooldown_left_ = 0;
};

}  // namespace mica
