// Naive gathering.
#pragma once

#include "../naive.h"

#include <mica/kernels/image_transform.h>

namespace mica::bench {

// A batch: every pixel goes back to the bytes that it comes from by itself, and finds out anew what happens to its image. The geometry is
// the kernels' own (kernels/image_transform.h), which tests/kernels checks; here it is in f32 in both precisions.
template <class Real>
struct BatchFormula {
  i64 h, w;
  const std::uint8_t* images;
  const i64* indices;
  kernels::Augmentation augmentation;
  kernels::RandomKey key;
  float mean, std;
  MICA_FUNCTION Real operator()(i64 i) const {
    using namespace kernels;
    const i64 index = indices[i / (h * w)], row = i / w % h, column = i % w;
    const Bytes image{w, images + index * h * w};
    if (!(augmentation.rotation > 0)) return Real(normalised<float>(image(row, column), mean, std));
    const ImageTransform transform = draw(augmentation, key, index);
    const Rotation rotation = rotation_by(transform.angle);
    const float value = transform.crop
                            ? Rotated<Cropped<Bytes>>{{image, h, w, augmentation.crop}, h, w, rotation, augmentation.sampling}(row, column)
                            : Rotated<Bytes>{image, h, w, rotation, augmentation.sampling}(row, column);
    return Real(normalised<float>(value, mean, std));
  }
};

// Along the rows of lines×length, from those of lines×width.
template <class Real>
struct GatherFormula {
  i64 length, width;
  const i64* index;
  const float* x;
  MICA_FUNCTION Real operator()(i64 i) const { return Real(x[i / length * width + index[i]]); }
};

// The reverse: each element of lines×width looks through its whole line for what belongs to it.
template <class Real>
struct ScatterAddFormula {
  i64 length, width;
  const i64* index;
  const float *y, *x;
  MICA_FUNCTION Real operator()(i64 i) const {
    Real sum = Real(x[i]);
    for (i64 k = i / width * length; k < (i / width + 1) * length; ++k) sum += index[k] == i % width ? Real(y[k]) : Real(0);
    return sum;
  }
};

}  // namespace mica::bench
