#include "step.h"

#include <mica/core/error.h>
#include <mica/core/ops/loss.h>
#include <mica/core/scope.h>
#include <mica/optim/clip.h>

#include <algorithm>

namespace mica::training {
namespace {

// In a scope of its own, which profiles show beside the layers.
Tensor loss_of(const Tensor& y, const Tensor& labels) {
  static const Scope::Name name = std::make_shared<const std::string>("loss");
  const Scope scope(name);
  return cross_entropy(y, labels);
}

}  // namespace

Steps::Steps(Sequential& network, Optimizer& optimizer, const Options& options, Device device)
    : network_(network), optimizer_(optimizer), parameters_(network.parameters()), clip_norm_(options.clip_norm) {
  if (options.per_graph == 0) return;
  graph_.emplace(device);
  batches_.resize(static_cast<std::size_t>(options.per_graph));
}

StepResult Steps::step(const Batch& batch) {
  optimizer_.zero_grad();
  const Tensor y = network_(batch.images), loss = loss_of(y, batch.labels);
  loss.backward();
  if (clip_norm_ > 0) clip_grad_norm_(parameters_, clip_norm_);
  optimizer_.step();
  return {loss.detach(), count_correct(y, batch.labels), batch.labels.numel()};
}

std::vector<StepResult> Steps::next(BatchLoader& loader, std::int64_t most) {
  const auto count = static_cast<std::int64_t>(batches_.size());
  if (!graph_ || std::min(most, loader.whole_batches_left()) < count) return next_eagerly(loader);
  for (Batch& batch : batches_)
    if (!(batch.images.defined() ? loader.refill(batch) : loader.next(batch))) throw Error("Steps: the loader's batches are not those of the steps before");
  return run_graph();
}

std::vector<StepResult> Steps::next_eagerly(BatchLoader& loader) {
  Batch batch;
  return loader.next(batch) ? std::vector{step(batch)} : std::vector<StepResult>();
}

std::vector<StepResult> Steps::run_graph() {
  if (graph_->captured()) {
    graph_->replay();
    return captured_;
  }
  std::vector<StepResult> results;
  const auto count = static_cast<int>(batches_.size());
  graph_->capture([&](int i) { results.push_back(step(batches_[static_cast<std::size_t>(i)])); }, count);  // does them, then records them
  captured_.assign(results.begin() + count, results.end());
  results.resize(batches_.size());
  return results;
}

}  // namespace mica::training
