// What watches a metric: a schedule that lowers the rate, and early stopping, when it gets no better.
#pragma once

#include <mica/optim/schedule.h>

namespace mica {

enum class PlateauMode { min, max };           // is a better metric a lower one, or a higher one?
enum class ThresholdMode { relative, absolute };

// The best metric so far. Better, for min: metric < best · (1 − threshold), or with an absolute threshold metric < best − threshold;
// for max: > and +. NaN is never better.
class BestMetric {
 public:
  BestMetric(PlateauMode mode, double threshold, ThresholdMode threshold_mode);
  bool take(double metric);  // is it better? Then it is the best
  double& value() { return best_; }

 private:
  PlateauMode mode_;
  double threshold_;
  ThresholdMode threshold_mode_;
  double best_;
};

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
// whose metric is not better than the best so far.
class ReduceLROnPlateau : public Schedule {
 public:
  explicit ReduceLROnPlateau(Optimizer& optimizer, const PlateauOptions& options = {});

 private:
  void begin() override;
  void update(std::int64_t epoch, std::optional<double> metric) override;
  void visit(StateNumbers& state) override;
  void reduce();

  PlateauOptions options_;
  BestMetric best_;
  std::int64_t bad_epochs_ = 0, cooldown_left_ = 0;
};

struct EarlyStoppingOptions {
  std::int64_t patience = 10;  // the training stops at this many bad epochs in a row
  double min_delta = 0;        // better is better by more than this
  PlateauMode mode = PlateauMode::min;
};

//   if (stopping.step(loss)) break;
class EarlyStopping {
 public:
  explicit EarlyStopping(const EarlyStoppingOptions& options = {});

  bool step(double metric);  // call after each epoch; is the training to stop?
  bool improved() const { return bad_epochs_ == 0; }  // was the last metric the best so far?
  double best() { return best_.value(); }

  NamedTensors state();
  void load_state(const NamedTensors& state);

 private:
  StateNumbers numbers();

  std::int64_t patience_, bad_epochs_ = 0;
  BestMetric best_;
};

}  // namespace mica
