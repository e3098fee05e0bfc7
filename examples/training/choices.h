// Optimizers and schedules by text, as recipes and the command line give them: a name, then options by PyTorch's names.
//   sgd lr=0.05 momentum=0.9 nesterov=true      step step_size=10 gamma=0.1
// Throw Error that says what there is, for a name, an option or a value that means nothing.
#pragma once

#include <mica/optim/optimizer.h>
#include <mica/optim/schedule.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace mica::training {

// sgd, adam. lr: in place of the text's.
std::unique_ptr<Optimizer> make_optimizer(const std::string& text, const std::vector<Tensor>& parameters, std::optional<double> lr = {});

// constant, step, plateau.
std::unique_ptr<Schedule> make_schedule(const std::string& text, Optimizer& optimizer);

}  // namespace mica::training
