// What the emulated cuDNN offers beyond cuDNN's API, for tests.
#pragma once

#include <cstddef>

namespace emulator {

long cudnn_calls(const char* function);       // how often it was called and accepted
void set_cudnn_version(std::size_t version);  // that cudnnGetVersion answers; 0: the header's
void fail_cudnn(int nth, int status);         // the nth call from now on that gives a status, 1 being the next

}  // namespace emulator
