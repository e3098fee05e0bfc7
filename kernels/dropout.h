// Dropout: element i of a tensor (in memory order) is dropped where number i of the key's sequence says so; the mask is
// never stored. Kept values are multiplied by 1 / (1 − p).
#pragma once

#include <mica/kernels/context.h>
#include <mica/kernels/dims.h>
#include <mica/kernels/philox.h>

namespace mica::kernels {

struct Dropout {
  double p = 0;  // probability to drop, in [0, 1]
  RandomKey key;

  // An element is kept where its 32 random bits are this or more.
  std::uint64_t threshold() const { return static_cast<std::uint64_t>(p * 0x1p32); }
  double scale() const { return p < 1 ? 1 / (1 - p) : 0; }
};

// y[i] = keep(i) ? scale · x[i] : 0, for i < n. x and y may be the same. Its own gradient, too: gx = dropout(gy).
template <class T> void dropout(Cpu& cpu, i64 n, const Dropout& d, const T* x, T* y);
template <class T> void dropout(Cuda& cuda, i64 n, const Dropout& d, const T* x, T* y);

// cuDNN's dropout, where it is chosen and can: the next mask of its own generator, which goes on from call to call and starts anew
// where `seeding` is another than at the call before. The mask is kept in reserve, of dropout_reserve_bytes, for the gradient.
// False where nothing was done.
struct GeneratedDropout {
  double p;
  std::uint64_t seed, seeding;
};
template <class T> i64 dropout_reserve_bytes(Cpu&, i64) { return 0; }
template <class T> i64 dropout_reserve_bytes(Cuda& cuda, i64 n);
template <class T> bool dropout_by_cudnn(Cpu&, i64, const GeneratedDropout&, const T*, T*, std::uint8_t*) { return false; }
template <class T> bool dropout_by_cudnn(Cuda& cuda, i64 n, const GeneratedDropout& d, const T* x, T* y, std::uint8_t* reserve);
template <class T> void dropout_backward_by_cudnn(Cpu&, i64, const GeneratedDropout&, const T*, T*, std::uint8_t*) {}
template <class T> void dropout_backward_by_cudnn(Cuda& cuda, i64 n, const GeneratedDropout& d, const T* gy, T* gx, std::uint8_t* reserve);

// The same for elements [begin, end) on the calling thread, for kernels that fuse it.
template <class T> void dropout_range(const Dropout& d, i64 begin, i64 end, const T* x, T* y);

// y[i] = low + (high − low) · uniform(i), i in memory order.
template <class T> void uniform(Cpu& cpu, i64 n, const RandomKey& key, double low, double high, T* y);
template <class T> void uniform(Cuda& cuda, i64 n, const RandomKey& key, double low, double high, T* y);

}  // namespace mica::kernels
