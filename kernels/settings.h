// What a program chooses for the kernels of all its contexts: which of an op's implementations runs, and how exact and how
// repeatable libraries must be. It may change at any time, from any thread; a kernel asks when it starts.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>

namespace mica::kernels {

// Which of an op's implementations runs, where there are several.
enum class Policy {
  automatic,  // the one that was measured to be faster
  native,     // our own
  library,    // oneDNN's, cuBLAS's or cuDNN's wherever it can do the op and the build has it
};

// The ops that a library has too: the first two oneDNN on the CPU, matmul cuBLAS and all others cuDNN on CUDA.
enum class LibraryOp { matmul, conv2d, batch_norm, dropout, max_pool2d, avg_pool2d, softmax };
inline constexpr std::array library_op_names{"matmul", "conv2d", "batch_norm", "dropout", "max_pool2d", "avg_pool2d", "softmax"};

// Ops that a policy gave to a library: those that it did, and those that it could not do, which our own kernels then did.
struct LibraryOps {
  long done = 0, refused = 0;
};

struct Settings {
  Policy policy(LibraryOp op) const { return policies[static_cast<std::size_t>(op)]; }

  std::array<std::atomic<Policy>, library_op_names.size()> policies{};
  std::atomic<bool> matmul_tf32 = false;  // may f32 be rounded to TF32's 10 bits before it is multiplied: in cuBLAS,
  std::atomic<bool> cudnn_tf32 = true;    // in cuDNN, and in our own convolutions by tensor cores
  std::atomic<bool> deterministic = true;  // only algorithms that give the same bits every time
  std::atomic<std::size_t> workspace_bytes = std::size_t{256} << 20;  // that one call of cuDNN or cuBLAS may use at most
};

}  // namespace mica::kernels
