// Runs every program of planted.h, correct and with its bug, in a child process under each schedule. One of them, and what is
// said about its bug: PLANTED="missing barrier" emulator_test
#include "planted.h"
#include "../catch.h"

#include <emulator/sanitizers.h>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <regex>

using namespace planted;

// ThreadSanitizer's own default is a second, at the end of each of a thousand processes.
extern "C" const char* __tsan_default_options() { return "atexit_sleep_ms=0"; }

namespace {

struct Setting {
  const char *schedule, *order;
};
constexpr Setting settings[] = {{"lazy", "random:1"},     {"eager", "random:1"},    {"random:1", "forward"},  {"random:2", "reverse"},
                                {"random:3", "random:2"}, {"random:4", "random:3"}, {"random:5", "random:4"}, {"random:6", "random:5"}};

[[noreturn]] void child(const Program& program, bool bug, const Setting& setting, int output) {
  dup2(output, STDOUT_FILENO), dup2(output, STDERR_FILENO), close(output);
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  std::signal(SIGSEGV, SIG_DFL);  // not Catch2's
  setenv("EMULATOR_SCHEDULE", setting.schedule, 1), setenv("EMULATOR_ORDER", setting.order, 1);
  try {
    Bench bench;
    program.run(bench, bug);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    std::exit(1);
  }
  std::exit(0);  // with the leak reports
}

struct Outcome {
  bool clean;
  std::string said;
};

Outcome run(const Program& program, bool bug, const Setting& setting) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  std::fflush(nullptr);  // or the child says it again
  const pid_t process = fork();
  if (process == 0) child(program, bug, setting, ends[1]);
  close(ends[1]);
  Outcome outcome{false, {}};
  char chunk[4096];
  for (ssize_t n; (n = read(ends[0], chunk, sizeof chunk)) > 0;) outcome.said.append(chunk, static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(process, &status, 0);
  outcome.clean = WIFEXITED(status) && WEXITSTATUS(status) == 0 && outcome.said.empty();
  return outcome;
}

bool in_this_build(const Program& program) {
  if (program.seen & with_asan && !emulator::asan::on) return false;
  if (program.seen & with_tsan && !emulator::tsan::on) return false;
  return !(program.seen & without_tsan && emulator::tsan::on);
}

void check_program(const Program& program) {
  for (const Setting& setting : settings) {
    const Outcome outcome = run(program, false, setting);
    INFO(program.name << ", corrected, EMULATOR_SCHEDULE=" << setting.schedule << " EMULATOR_ORDER=" << setting.order << "\n"
                      << outcome.said);
    CHECK(outcome.clean);
  }
  if (!in_this_build(program)) return;
  unsigned seen = 0;
  std::string said;
  for (const Setting& setting : settings) {
    if (seen & random_order) break;
    const Outcome outcome = run(program, true, setting);
    if (outcome.clean || !std::regex_search(outcome.said, std::regex(program.evidence))) {
      if (!outcome.clean) said += outcome.said;
      continue;
    }
    seen |= &setting == &settings[0] ? lazy : &setting == &settings[1] ? eager : random_order;
  }
  INFO(program.name << ": seen under " << (seen & lazy ? "lazy " : "") << (seen & eager ? "eager " : "")
                    << (seen & random_order ? "random" : "") << "\nwith other words:\n"
                    << said);
  CHECK((program.seen & always & ~seen) == 0);
}

void check_all(const std::vector<Program>& programs) {
  const char* const one = std::getenv("PLANTED");
  for (const Program& program : programs) {
    if (one && program.name == one) std::printf("%s", run(program, true, settings[0]).said.c_str());
    if (!one || program.name == one) check_program(program);
  }
}

}  // namespace

TEST_CASE("missing and divergent barriers are found") { check_all(barrier_bugs()); }
TEST_CASE("kernels' accesses out of bounds are found") { check_all(bounds_bugs()); }
TEST_CASE("races between blocks are found") { check_all(race_bugs()); }
TEST_CASE("missing order between host and device is found") { check_all(host_bugs()); }
TEST_CASE("misuse of captures is found") { check_all(capture_bugs()); }
TEST_CASE("misuse of tensors' memory is found") { check_all(allocator_bugs()); }
TEST_CASE("misuse of cuBLAS is found") { check_all(cublas_bugs()); }
#ifdef MICA_CUDNN
TEST_CASE("misuse of cuDNN is found") { check_all(cudnn_bugs()); }
#endif
