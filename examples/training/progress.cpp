#include "progress.h"

#include <fmt/core.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <sys/ioctl.h>
#include <unistd.h>

namespace mica::training {
namespace {

using namespace std::chrono_literals;

bool is_terminal() {
  const char* term = std::getenv("TERM");
  return isatty(STDOUT_FILENO) && term && std::string_view(term) != "dumb";
}

std::size_t window_width() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

Progress::Progress(bool quiet, std::optional<std::chrono::milliseconds> every)
    : quiet_(quiet), live_(is_terminal()), every_(every.value_or(live_ ? 100ms : 10s)), last_(std::chrono::steady_clock::now()) {}

Progress::~Progress() { clear(); }

void Progress::clear() {
  if (shown_) fmt::print("\r\033[K");
  shown_ = false;
  std::fflush(stdout);
}

bool Progress::due() const { return !quiet_ && std::chrono::steady_clock::now() - last_ >= every_; }

void Progress::update(const std::string& line) {
  if (!due()) return;
  last_ = std::chrono::steady_clock::now();
  if (!live_) return say(line);
  clear();
  fmt::print("{}", line.substr(0, window_width() - 1));
  shown_ = true;
  std::fflush(stdout);
}

void Progress::say(const std::string& line) {
  if (!quiet_) announce(line);
}

void Progress::announce(const std::string& line) {
  clear();
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

}  // namespace mica::training
