#include <mica/core/cuda/timeline.h>

#include <algorithm>

namespace mica {

std::size_t EventMarks::add() {
  events_.emplace_back(kernels::Event::timed).record(stream_);
  return events_.size() - 1;
}

// CUDA gives milliseconds as a float, which is exact enough for a short while only: each event is timed from one not long before it.
std::vector<double> EventMarks::read() const {
  constexpr std::size_t stretch = 64;
  if (!events_.empty()) events_.back().synchronize();
  std::vector<double> microseconds;
  for (std::size_t i = 0; i < events_.size(); ++i) {
    const std::size_t from = i == 0 ? 0 : (i - 1) / stretch * stretch;
    const double time = i == 0 ? 0 : microseconds[from] + events_[i].microseconds_since(events_[from]);
    microseconds.push_back(i == 0 ? 0 : std::max(microseconds.back(), time));
  }
  return microseconds;
}

}  // namespace mica
