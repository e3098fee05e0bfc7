// What a long run says while it works: a live line on a terminal, a plain line now and then otherwise.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace mica::training {

class Progress {
 public:
  // A live line where standard output is a terminal and TERM is not dumb. quiet: say() and update() print nothing. `every`: how
  // often update() prints, otherwise as fits the output.
  explicit Progress(bool quiet, std::optional<std::chrono::milliseconds> every = {});
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(const std::string& line);  // the state now; cut to the window's width, and rate-limited
  bool due() const;                      // would update() print?
  void say(const std::string& line);     // a line that stays
  void announce(const std::string& line);  // a line that stays even when quiet

 private:
  void clear();
  bool quiet_, live_, shown_ = false;
  std::chrono::milliseconds every_;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace mica::training
