// For .cu files: most kernels with a bug need one block and one result.
#pragma once

#include "planted.h"

#include <mica/kernels/cuda/launch.h>

namespace planted {

// Runs kernel(bug, d) with one block, and looks at one of the values it leaves.
template <auto kernel, unsigned threads, unsigned at, int value>
void one_block(Bench& b, bool bug) {
  mica::kernels::launch(b.cuda, "planted", kernel, {dim3(1), dim3(threads)}, bug, b.d);
  expect(host(b.cuda, b.d, 64)[at] == static_cast<float>(value), "wrong result");
}

}  // namespace planted
