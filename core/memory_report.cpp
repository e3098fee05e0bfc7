#include <mica/core/memory_report.h>

#include <fmt/format.h>

#include <algorithm>

namespace mica {
namespace {

double difference(std::size_t now, std::size_t before) { return (static_cast<double>(now) - static_cast<double>(before)) / 1e6; }

double megabytes(std::size_t bytes) { return static_cast<double>(bytes) / 1e6; }

std::string line(const std::string& name, std::size_t current, double change, std::size_t peak, std::size_t reserved) {
  return fmt::format("{:<32}{:>12.3f}{:>+12.3f}{:>12.3f}{:>12.3f}\n", name, megabytes(current), change, megabytes(peak), megabytes(reserved));
}

}  // namespace

MemoryReport::MemoryReport(Device device) : device_(device) { take_recent_peak(device_); }

void MemoryReport::note_peak() {
  const std::size_t recent = take_recent_peak(device_);
  peak_ = std::max(peak_, recent);
  for (Row& row : open_) row.peak = std::max(row.peak, recent);
}

void MemoryReport::enter(const std::string& name, Pass pass) noexcept {
  if (failed_) return;
  note_peak();
  try {
    rows_.reserve(rows_.size() + open_.size() + 1);
    open_.push_back({name, pass, memory_stats(device_).current});
    innermost_ = true;
  } catch (...) {
    failed_ = true;
  }
}

void MemoryReport::leave(const std::string&, Pass) noexcept {
  if (failed_ || open_.empty()) return;  // it began before this report
  note_peak();
  Row row = std::move(open_.back());
  open_.pop_back();
  const MemoryStats now = memory_stats(device_);
  row.current = now.current, row.reserved = now.reserved;
  if (std::exchange(innermost_, false)) rows_.push_back(std::move(row));
}

std::string MemoryReport::table() const {
  const std::string rule(80, '-');
  std::string text = fmt::format("{:<32}{:>12}{:>12}{:>12}{:>12}\n{}\n", "Memory of " + to_string(device_) + " (MB)", "current", "change", "peak",
                                 "reserved", rule);
  for (const Row& row : rows_)
    text += line(row.name + (row.pass == Pass::backward ? " backward" : ""), row.current, difference(row.current, row.before), row.peak,
                 row.reserved);
  const MemoryStats now = memory_stats(device_);
  const std::size_t before = rows_.empty() ? now.current : rows_.front().before;
  return text + rule + "\n" + line("now", now.current, difference(now.current, before), std::max(peak_, now.recent_peak), now.reserved);
}

}  // namespace mica
