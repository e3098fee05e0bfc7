// Dropout by cuDNN's generator: its state is in device memory and goes on with every forward call.
#include <mica/kernels/cuda/cudnn.h>
#include <mica/kernels/dropout.h>

namespace mica::kernels {
namespace {

struct Elements : TensorDescriptor {
  Elements(cudnnDataType_t type, i64 n) : TensorDescriptor(type, CUDNN_TENSOR_NCHW, 1, 1, 1, n) {}
};

// One with these probability and states; a new seeding writes the states first. As they lie on the device, a captured call draws on
// at each replay.
struct Descriptor : OwnedDropout {
  Descriptor(Cuda& cuda, Cudnn& cudnn, const GeneratedDropout& d) {
    DropoutStates& states = cudnn.dropout;
    const auto p = static_cast<float>(d.p);
    if (states.seeded && states.seed == d.seed && states.seeding == d.seeding) {
      check(MICA_CUDNN_CALL(cudnnRestoreDropoutDescriptor)(*this, cudnn.handle(), p, states.memory->get(), states.bytes, d.seed),
            "cudnnRestoreDropoutDescriptor");
      return;
    }
    if (cuda.stream().recorded())
      throw Error("dropout: cuDNN's generator is to start anew in a step that a CudaGraph records, and would draw the same masks at each replay; "
                  "call manual_seed before capture(), or choose our own kernel by the policy dropout=native");
    if (!states.memory) {
      check(MICA_CUDNN_CALL(cudnnDropoutGetStatesSize)(cudnn.handle(), &states.bytes), "cudnnDropoutGetStatesSize");
      states.memory.reset(new Scratch<char>(cuda.scratch<char>(static_cast<i64>(states.bytes))));
    }
    states.seeded = false;
    check(MICA_CUDNN_CALL(cudnnSetDropoutDescriptor)(*this, cudnn.handle(), p, states.memory->get(), states.bytes, d.seed),
          "cudnnSetDropoutDescriptor");
    states.seed = d.seed, states.seeding = d.seeding, states.seeded = true;
  }
};

std::size_t reserve_bytes(const Elements& elements) {
  std::size_t bytes = 0;
  check(MICA_CUDNN_CALL(cudnnDropoutGetReserveSpaceSize)(elements, &bytes), "cudnnDropoutGetReserveSpaceSize");
  return bytes;
}

}  // namespace

template <class T>
i64 dropout_reserve_bytes(Cuda& cuda, i64 n) {
  return cuda.with_more_memory([&] { return static_cast<i64>(reserve_bytes(Elements(cudnn_type<T>, n))); });
}

template <class T>
bool dropout_by_cudnn(Cuda& cuda, i64 n, const GeneratedDropout& d, const T* x, T* y, std::uint8_t* reserve) {
  if (static_cast<float>(d.p) >= 1 || !cudnn_aligned({x, y, reserve})) return cuda.by_library(false);
  Cudnn& cudnn = *cuda.cudnn();
  const std::lock_guard lock(cudnn.mutex());
  return cuda.by_library(cuda.with_more_memory([&] {
    const Elements elements(cudnn_type<T>, n);
    return started(MICA_CUDNN_CALL(cudnnDropoutForward)(cudnn.handle(), Descriptor(cuda, cudnn, d), elements, x, elements, y, reserve,
                                                        reserve_bytes(elements)),
                   "cudnnDropoutForward");
  }));
}

// The generator's states are given, and not read. A gradient may begin anywhere, and our own kernel does not know the mask.
template <class T>
void dropout_backward_by_cudnn(Cuda& cuda, i64 n, const GeneratedDropout& d, const T* gy, T* gx, std::uint8_t* reserve) {
  Cudnn& cudnn = *cuda.cudnn();
  const std::lock_guard lock(cudnn.mutex());
  const GeneratedDropout as_it_is{d.p, cudnn.dropout.seed, cudnn.dropout.seeding};
  const bool aligned = cudnn_aligned({gy});
  const auto copy = cuda.scratch<T>(aligned ? 0 : n);
  if (!aligned)
    check(cudaMemcpyAsync(copy.get(), gy, static_cast<std::size_t>(n) * sizeof(T), cudaMemcpyDeviceToDevice, cuda.stream().get()), "copying a gradient");
  cuda.with_more_memory([&] {
    const Elements elements(cudnn_type<T>, n);
    check(MICA_CUDNN_CALL(cudnnDropoutBackward)(cudnn.handle(), Descriptor(cuda, cudnn, as_it_is), elements, aligned ? gy : copy.get(), elements, gx,
                                                reserve, reserve_bytes(elements)),
          "cudnnDropoutBackward");
  });
  Cuda::launched("cudnnDropoutBackward");
}

#define MICA_FLOATING(T)                                                                            \
  template i64 dropout_reserve_bytes<T>(Cuda&, i64);                                                \
  template bool dropout_by_cudnn(Cuda&, i64, const GeneratedDropout&, const T*, T*, std::uint8_t*); \
  template void dropout_backward_by_cudnn(Cuda&, i64, const GeneratedDropout&, const T*, T*, std::uint8_t*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
