// Learning-rate schedules: objects beside the optimizer, stepped once an epoch, with PyTorch's formulas.
#pragma once

#include <mica/optim/optimizer.h>

namespace mica {

class Schedule {
 public:
  virtual ~Schedule() = default;
  virtual void step() = 0;  // call after each epoch
};

// lr = base · gamma^⌊epoch / step_size⌋, for every group of its own base.
class StepLR : public Schedule {
 public:
  StepLR(Optimizer& optimizer, std::int64_t step_size, double gamma = 0.1);
  void step() override;

 private:
  Optimizer& optimizer_;
  std::vector<double> base_;
  std::int64_t step_size_, epoch_ = 0;
  double gamma_;
};

}  // namespace mica
