// Which implementation of an op runs, and how exact and how repeatable libraries must be; for all threads, from now on.
#pragma once

#include <mica/kernels/settings.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace mica {

// ---- our own kernels, or a library's ----
// The ops that a library has too are matmul, conv2d, batch_norm, dropout, max_pool2d, avg_pool2d and softmax. The library is
// oneDNN on the CPU, cuBLAS and cuDNN on CUDA; where it is missing or cannot do a case, our own kernel does it. The default is
// automatic.

using kernels::Policy;

void set_policy(Policy policy);                       // of every op
void set_policy(std::string_view op, Policy policy);  // of one; throws Error, naming the ops that there are
Policy policy(std::string_view op);

// "native", "conv2d=library", "library,matmul=native,softmax=auto": from left to right, each `policy` or `op=policy`, where a
// policy is auto, native or library. Throws Error, and then changes nothing.
void set_policy(std::string_view choices);

// ---- all settings by name, as the environment and programs' options give them ----

// configure("tf32", "on"): policy, as for set_policy; tf32, of cuBLAS and cuDNN, and deterministic, on or off; workspace, in MiB.
// Throws Error, and then changes nothing. What $MICA_POLICY, $MICA_TF32, $MICA_DETERMINISTIC and $MICA_WORKSPACE say holds from the start.
void configure(std::string_view name, std::string_view value);

// ---- CUDA's libraries ----

// Empty where CUDA's matrix products can be done by cuBLAS, otherwise one sentence that says why our own kernels do them: it was
// not found, it is of another major version, or this build knows nothing of it. Asks for no device.
std::string why_no_cublas();
std::string why_no_cudnn();  // so for its ops by cuDNN, as far as is known: it may not support a device, which its first use shows

// May products of f32 be rounded to TF32 (10 bits) for the sake of speed? PyTorch's switches and their defaults:
// torch.backends.cuda.matmul.allow_tf32 for cuBLAS; torch.backends.cudnn.allow_tf32 for cuDNN and for our own convolutions by tensor cores.
void allow_matmul_tf32(bool allow);  // false
void allow_cudnn_tf32(bool allow);   // true
bool matmul_tf32_allowed();
bool cudnn_tf32_allowed();

// Only algorithms that give the same bits every time; the default is true.
void set_deterministic(bool deterministic);
bool deterministic();

// What one call of a library may use beside its arguments; the default is 256 MiB. With less, slower algorithms are chosen.
void set_workspace_limit(std::size_t bytes);
std::size_t workspace_limit();

kernels::Settings& settings();  // what all contexts share

}  // namespace mica
