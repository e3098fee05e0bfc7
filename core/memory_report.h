// What a step of training keeps in a device's memory, by layer:
//   MemoryReport report(Device::cuda());
//   nll_loss(network(images), labels).backward();
//   fmt::print("{}", report.table());
#pragma once

#include <mica/core/memory.h>
#include <mica/core/scope.h>

#include <string>
#include <vector>

namespace mica {

class MemoryReport final : ScopeObserver {
 public:
  explicit MemoryReport(Device device);

  // A line for each layer's forward and backward so far, each batch and each optimizer's step, in the order of time, in MB of 10⁶ bytes: what was in tensors when it
  // ended, how much more than when it began, the most there was in between, and what was held from the system; then the same
  // of now, with the largest peak.
  std::string table() const;

 private:
  struct Row {
    std::string name;
    Pass pass;
    std::size_t before, current = 0, peak = 0, reserved = 0;
  };
  void enter(const std::string& name, Pass pass) noexcept override;
  void leave(const std::string& name, Pass pass) noexcept override;
  void note_peak();

  Device device_;
  std::vector<Row> rows_;         // of scopes that have ended, innermost ones only
  std::vector<Row> open_;         // from the outermost to the innermost
  std::size_t peak_ = 0;          // of all
  bool innermost_ = false;        // has no scope begun in open_.back()?
  bool failed_ = false;           // no memory for more rows: nothing more is noted
};

}  // namespace mica
