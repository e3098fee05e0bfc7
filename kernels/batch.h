// A training batch from a resident image set, in one kernel: gather, random transforms, normalisation.
#pragma once

#include <mica/kernels/context.h>
#include <mica/kernels/dims.h>
#include <mica/kernels/image_operation.h>

namespace mica::kernels {

struct BatchDims {
  i64 n, h, w;
};

// y[k] = chain(images[indices[k]] / 255), one channel; labels likewise, as i64. The same bits on all backends. image_key tells what
// the random numbers depend on; chain.blurs is where the images are.
template <class T>
void gather_batch(Cpu& cpu, const BatchDims& d, const std::uint8_t* images, const std::uint8_t* labels, const i64* indices,
                  const Chain& chain, const RandomKey& key, T* y, i64* targets);
template <class T>
void gather_batch(Cuda& cuda, const BatchDims& d, const std::uint8_t* images, const std::uint8_t* labels, const i64* indices,
                  const Chain& chain, const RandomKey& key, T* y, i64* targets);

// One operation on an image by the calling thread, on the CPU. buffers: 4×h×w, the image first; which of the first two has the
// result is returned. For an elastic operation buffers 2 and 3 are noise from U(−1, 1), of displacements along x, then along y.
float* transform_image(i64 h, i64 w, const Operation& operation, float* buffers);

}  // namespace mica::kernels
