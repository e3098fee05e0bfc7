#include "choices.h"
#include "step.h"
#include "trainer.h"

#include <mica/core/autograd.h>
#include <mica/core/error.h>
#include <mica/core/memory_report.h>
#include <mica/core/ops/loss.h>

#include <fmt/format.h>

#include <chrono>
#include <limits>

namespace mica::training {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// The losses and numbers of correct answers of batches of different sizes. They stay where the network is until they are read,
// so that a device goes on with the next batch meanwhile.
class Tally {
 public:
  Tally(std::int64_t batches, DType dtype, Device device)
      : losses_(Tensor::empty({batches}, dtype, device)), correct_(Tensor::empty({batches}, DType::i64, device)) {}

  void add(const StepResult& result) {
    const auto at = static_cast<std::int64_t>(sizes_.size());
    losses_.slice(at, at + 1).copy_(result.loss.reshape({1}));
    correct_.slice(at, at + 1).copy_(result.correct.reshape({1}));
    sizes_.push_back(result.images);
    images_ += result.images;
  }
  std::int64_t images() const { return images_; }

  // The score of all batches so far. Waits for the device; each_loss(loss) hears of the batches since the last time.
  template <class F>
  Score read(const F& each_loss) {
    const auto begin = static_cast<std::int64_t>(read_), end = static_cast<std::int64_t>(sizes_.size());
    const std::vector<double> losses = losses_.slice(begin, end).to(DType::f64).to_vector<double>();
    const std::vector<std::int64_t> correct = correct_.slice(begin, end).to_vector<std::int64_t>();
    for (std::size_t k = 0; k < losses.size(); ++k, ++read_) {
      each_loss(losses[k]);
      loss_sum_ += losses[k] * static_cast<double>(sizes_[read_]);
      correct_sum_ += correct[k];
    }
    const double n = static_cast<double>(std::max<std::int64_t>(images_, 1));
    return {loss_sum_ / n, 100 * static_cast<double>(correct_sum_) / n};
  }

 private:
  Tensor losses_, correct_;         // of each batch
  std::vector<std::int64_t> sizes_;  // of those there were
  std::size_t read_ = 0;
  double loss_sum_ = 0;
  std::int64_t correct_sum_ = 0, images_ = 0;
};

std::string minutes(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

Score evaluate(Sequential& network, const ImageSet& set, DType dtype, const std::atomic<bool>& interrupted, Metrics* metrics) {
  const NoGrad no_grad;
  const EvalMode eval(network);
  BatchLoader loader(set, {.batch_size = 500, .shuffle = false, .augmentation = {}, .dtype = dtype});
  Tally tally(loader.batches(), dtype, set.images.device());
  for (Batch batch; !interrupted && loader.next(batch);) {
    const Tensor y = network(batch.images), loss = cross_entropy(y, batch.labels);
    tally.add({loss, count_correct(y, batch.labels), batch.labels.numel()});
    if (metrics) metrics->add(y, batch.labels, loss);
  }
  return tally.read([](double) {});
}

Result train(Sequential& network, const networks::Recipe& recipe, const Settings& settings, const ImageSet& train_set,
             const ImageSet& test_set, Progress& progress, Logs& logs, const std::atomic<bool>& interrupted) {
  const std::vector<Tensor> parameters = network.parameters();
  const auto optimizer = make_optimizer(recipe.optimizer, parameters, settings.lr);
  BatchLoader loader(train_set, {.batch_size = recipe.batch_size, .shuffle = settings.shuffle,
                                 .augmentation = recipe.augmentation, .dtype = settings.dtype});
  const ChosenSchedule chosen = make_schedule(recipe.schedule, *optimizer, {recipe.epochs, loader.batches()});
  if (chosen.every_batch && settings.steps_per_graph > 1)
    throw Error(fmt::format("a graph of {} steps has one learning rate, and the schedule '{}' changes it after every step; give a graph one step", settings.steps_per_graph,
                            recipe.schedule));
  const double all_images = static_cast<double>(recipe.epochs * train_set.size());
  const auto run_start = Clock::now();
  Result result;
  std::int64_t logged = 0;  // steps
  Steps steps(network, *optimizer, {recipe.clip_norm, settings.steps_per_graph}, train_set.images.device());
  network.train();
  for (int epoch = 1; epoch <= recipe.epochs; ++epoch) {
    const auto epoch_start = Clock::now();
    const double lr = optimizer->lr();
    Tally tally(loader.batches(), settings.dtype, train_set.images.device());
    std::vector<double> rates;  // of this epoch's steps
    const auto read = [&, before = logged] {
      return tally.read([&](double loss) {
        const double rate = rates[static_cast<std::size_t>(logged - before)];
        logs.step(++logged, loss, rate);
      });
    };
    loader.start(static_cast<std::uint32_t>(epoch));
    for (;;) {
      if (interrupted || (settings.max_steps && result.steps >= *settings.max_steps)) {
        result.outcome = interrupted ? Outcome::interrupted : Outcome::stopped_at_max_steps;
        read();
        logs.flush();
        return result;
      }
      const std::int64_t most = settings.max_steps ? *settings.max_steps - result.steps : std::numeric_limits<std::int64_t>::max();
      std::optional<MemoryReport> memory;
      if (settings.memory && result.steps == 0) memory.emplace(train_set.images.device());
      Profile* const profile = result.steps >= settings.warm_up && loader.whole_batches_left() > 0 ? settings.profile : nullptr;
      if (profile) profile->begin_step();
      const std::vector<StepResult> done = memory ? steps.next_eagerly(loader) : steps.next(loader, most);
      if (profile) profile->end_step();
      if (memory) progress.announce(memory->table());
      if (done.empty()) break;
      for (const StepResult& step : done) {
        tally.add(step);
        rates.push_back(optimizer->lr());
      }
      if (chosen.every_batch) chosen.schedule->step();
      result.steps += static_cast<std::int64_t>(done.size());
      if (progress.due()) {
        std::string so_far;
        if (settings.steps_per_graph == 0) {
          const Score score = read();
          so_far = fmt::format("loss {:.4f}  accuracy {:.2f} %  ", score.loss, score.accuracy);
        }
        const double seen = static_cast<double>((epoch - 1) * train_set.size() + tally.images());
        const double left = seconds_since(run_start) * (all_images / seen - 1);
        progress.update(fmt::format("epoch {}/{}  {:3.0f} %  {:.0f} images/s  {}{} left", epoch, recipe.epochs,
                                    100.0 * static_cast<double>(tally.images()) / static_cast<double>(train_set.size()),
                                    static_cast<double>(tally.images()) / seconds_since(epoch_start), so_far, minutes(left)));
      }
    }
    const Score train_score = read();
    const double seconds = seconds_since(epoch_start);
    const Score test_score = evaluate(network, test_set, settings.dtype, interrupted);
    if (interrupted) {
      result.outcome = Outcome::interrupted;
      logs.flush();
      return result;
    }
    if (!chosen.every_batch) chosen.schedule->step(test_score.loss);
    result.epochs = epoch;
    result.last_accuracy = test_score.accuracy;
    if (result.best_epoch == 0 || test_score.accuracy > result.best_accuracy) {
      result.best_accuracy = test_score.accuracy;
      result.best_epoch = epoch;
    }
    const double speed = static_cast<double>(tally.images()) / seconds;
    logs.epoch({epoch, train_score.loss, train_score.accuracy, test_score.loss, test_score.accuracy, result.best_accuracy, lr, seconds, speed});
    logs.flush();
    progress.say(fmt::format("epoch {}/{}  train loss {:.4f} accuracy {:.2f} %  test loss {:.4f} accuracy {:.2f} %  best {:.2f} %  "
                             "lr {:g}  {:.1f} s  {:.0f} images/s",
                             epoch, recipe.epochs, train_score.loss, train_score.accuracy, test_score.loss, test_score.accuracy,
                             result.best_accuracy, lr, seconds, speed));
    if (settings.after_epoch) settings.after_epoch(epoch, result.steps);
  }
  return result;
}

}  // namespace mica::training
