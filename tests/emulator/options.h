// How the emulator runs, from the environment: read once, at the first CUDA call. A value that means nothing ends the program.
#pragma once

#include "device.h"
#include "order.h"

#include <cstddef>
#include <optional>

namespace emulator {

// How far the device runs behind the host. A correct program computes the same bits under all of them.
enum class Schedule {
  lazy,    // slowest device: work runs only when the host waits, and then only what that wait needs
  eager,   // fastest device: work runs as soon as it is submitted
  random,  // at every submission and wait, ready work of any stream may run
};

// The nth call of a kind fails, and then perhaps every later one (device.h).
struct Fault {
  Call kind;
  int nth;
  bool ever_after;
  cudaError_t error;
};

struct Options {
  Schedule schedule = Schedule::lazy;  // EMULATOR_SCHEDULE=lazy|eager|random:<seed>
  unsigned schedule_seed = 1;
  Order order = Order::random;  // EMULATOR_ORDER=forward|reverse|random:<seed>
  unsigned order_seed = 1;
  bool rerun = true;                                // EMULATOR_RERUN=0: kernels run in one order only
  std::size_t device_bytes = std::size_t{1} << 30;  // EMULATOR_DEVICE_BYTES
  std::optional<Fault> fault;    // EMULATOR_FAIL=<kind>:<n>:<error>, as in launch:120:cudaErrorIllegalAddress; <n>+: and ever after
  bool count = false;            // EMULATOR_COUNT=1: at the end, how many calls of each kind there were
};
Options options_from_environment();

}  // namespace emulator
