// Optimizers and schedules by text, as recipes and the command line give them: a name, then options by PyTorch's names.
//   sgd lr=0.05 momentum=0.9 nesterov=true      step step_size=10 gamma=0.1      linear total_iters=2 then cosine
// Throw Error that says what there is, for a name, an option or a value that means nothing.
#pragma once

#include <mica/optim/optimizer.h>
#include <mica/optim/schedule.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace mica::training {

// adam, adamw, rmsprop, sgd. lr: in place of the text's.
std::unique_ptr<Optimizer> make_optimizer(const std::string& text, const std::vector<Tensor>& parameters, std::optional<double> lr = {});

struct TrainingLength {
  std::int64_t epochs, batches;  // batches of each
};
struct ChosenSchedule {
  std::unique_ptr<Schedule> schedule;
  bool every_batch = false;  // is it stepped after every batch, or after every epoch?
};
// constant, cosine, exponential, linear, multistep, onecycle, plateau, step; a linear one may go before another: "linear … then …". cosine
// and onecycle take what is left of the training unless T_max or total_steps is given.
ChosenSchedule make_schedule(const std::string& text, Optimizer& optimizer, const TrainingLength& length);

}  // namespace mica::training
