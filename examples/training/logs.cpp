#include "logs.h"

#include <mica/core/file.h>

#include <fmt/format.h>

namespace mica::training {

Logs::Logs(std::filesystem::path epochs, std::filesystem::path steps)
    : epochs_path_(std::move(epochs)),
      steps_path_(std::move(steps)),
      epochs_("epoch,train_loss,train_accuracy,test_loss,test_accuracy,best_test_accuracy,lr,seconds,images_per_second\n"),
      steps_("step,loss,lr\n") {
  for (const auto& path : {epochs_path_, steps_path_})
    if (!path.empty()) require_writable(path);
}

void Logs::epoch(const EpochRow& r) {
  has_epochs_ = true;
  epochs_ += fmt::format("{},{:.6f},{:.3f},{:.6f},{:.2f},{:.2f},{:g},{:.3f},{:.1f}\n", r.epoch, r.train_loss, r.train_accuracy,
                         r.test_loss, r.test_accuracy, r.best_test_accuracy, r.lr, r.seconds, r.images_per_second);
}

void Logs::step(std::int64_t number, double loss, double lr) {
  if (!steps_path_.empty()) steps_ += fmt::format("{},{:.17g},{:.17g}\n", number, loss, lr);
}

void Logs::flush() {
  if (!epochs_path_.empty() && has_epochs_) write_file(epochs_path_, {epochs_});
  if (!steps_path_.empty()) write_file(steps_path_, {steps_});
}

}  // namespace mica::training
