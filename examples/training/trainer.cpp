#include "trainer.h"

#include <mica/core/autograd.h>
#include <mica/core/ops/loss.h>

#include <fmt/format.h>

#include <chrono>

namespace mica::training {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double value_of(const Tensor& scalar) {
  return scalar.dtype() == DType::f64 ? scalar.item<double>() : static_cast<double>(scalar.item<float>());
}

// Sums over batches of different sizes.
struct Tally {
  double loss = 0;
  std::int64_t correct = 0, images = 0;

  void add(double batch_loss, std::int64_t batch_correct, std::int64_t size) {
    loss += batch_loss * static_cast<double>(size);
    correct += batch_correct;
    images += size;
  }
  Score score() const {
    const double n = static_cast<double>(std::max<std::int64_t>(images, 1));
    return {loss / n, 100 * static_cast<double>(correct) / n};
  }
};

std::string minutes(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

Score evaluate(Sequential& network, const ImageSet& set, DType dtype, const std::atomic<bool>& interrupted) {
  const NoGrad no_grad;
  const EvalMode eval(network);
  BatchLoader loader(set, {.batch_size = 500, .shuffle = false, .augmentation = {}, .dtype = dtype});
  Tally tally;
  for (Batch batch; !interrupted && loader.next(batch);) {
    const Tensor y = network(batch.images);
    tally.add(value_of(nll_loss(y, batch.labels)), count_correct(y, batch.labels).item<std::int64_t>(), batch.labels.numel());
  }
  return tally.score();
}

Result train(Sequential& network, const networks::Recipe& recipe, const Settings& settings, const ImageSet& train_set,
             const ImageSet& test_set, Progress& progress, Logs& logs, const std::atomic<bool>& interrupted) {
  const auto optimizer = recipe.optimizer(network.parameters(), settings.lr);
  const auto schedule = recipe.schedule(*optimizer);
  BatchLoader loader(train_set, {.batch_size = settings.batch_size, .shuffle = settings.shuffle,
                                 .augmentation = settings.augmentation, .dtype = settings.dtype});
  const double all_images = static_cast<double>(settings.epochs * train_set.size());
  const auto run_start = Clock::now();
  Result result;
  network.train();
  for (int epoch = 1; epoch <= settings.epochs; ++epoch) {
    const auto epoch_start = Clock::now();
    const double lr = optimizer->lr();
    Tally tally;
    loader.start(static_cast<std::uint32_t>(epoch));
    for (Batch batch;;) {
      if (interrupted || (settings.max_steps && result.steps >= *settings.max_steps)) {
        result.outcome = interrupted ? Outcome::interrupted : Outcome::stopped_at_max_steps;
        logs.flush();
        return result;
      }
      if (!loader.next(batch)) break;
      optimizer->zero_grad();
      const Tensor y = network(batch.images);
      const Tensor loss = nll_loss(y, batch.labels);
      loss.backward();
      optimizer->step();
      const double batch_loss = value_of(loss);
      tally.add(batch_loss, count_correct(y, batch.labels).item<std::int64_t>(), batch.labels.numel());
      logs.step(++result.steps, batch_loss, lr);
      if (progress.due()) {
        const double done = static_cast<double>((epoch - 1) * train_set.size() + tally.images);
        const double left = seconds_since(run_start) * (all_images / done - 1);
        progress.update(fmt::format("epoch {}/{}  {:3.0f} %  {:.0f} images/s  loss {:.4f}  accuracy {:.2f} %  {} left", epoch,
                                    settings.epochs, 100.0 * static_cast<double>(tally.images) / static_cast<double>(train_set.size()),
                                    static_cast<double>(tally.images) / seconds_since(epoch_start), tally.score().loss,
                                    tally.score().accuracy, minutes(left)));
      }
    }
    const double seconds = seconds_since(epoch_start);
    schedule->step();
    const Score train_score = tally.score(), test_score = evaluate(network, test_set, settings.dtype, interrupted);
    if (interrupted) {
      result.outcome = Outcome::interrupted;
      logs.flush();
      return result;
    }
    result.epochs = epoch;
    result.last_accuracy = test_score.accuracy;
    if (result.best_epoch == 0 || test_score.accuracy > result.best_accuracy) {
      result.best_accuracy = test_score.accuracy;
      result.best_epoch = epoch;
    }
    const double speed = static_cast<double>(tally.images) / seconds;
    logs.epoch({epoch, train_score.loss, train_score.accuracy, test_score.loss, test_score.accuracy, result.best_accuracy, lr, seconds, speed});
    logs.flush();
    progress.say(fmt::format("epoch {}/{}  train loss {:.4f} accuracy {:.2f} %  test loss {:.4f} accuracy {:.2f} %  best {:.2f} %  "
                             "lr {:g}  {:.1f} s  {:.0f} images/s",
                             epoch, settings.epochs, train_score.loss, train_score.accuracy, test_score.loss, test_score.accuracy,
                             result.best_accuracy, lr, seconds, speed));
  }
  return result;
}

}  // namespace mica::training
