// Naive gathering.
#pragma once

#include "../naive.h"

#include <mica/kernels/image_transform.h>

namespace mica::bench {

// A batch: every pixel goes back to the bytes that it comes from by itself, and finds out anew what happens to its image, which is either
// to be normalised or to be cropped (or not), rotated and normalised. The geometry is the kernels' own (kernels/image_transform.h), which
// tests check; here it is in f32 in both precisions.
template <class Real>
struct BatchFormula {
  int h, w;
  const std::uint8_t* images;
  const i64* indices;
  kernels::Chain chain;
  kernels::RandomKey key;
  MICA_FUNCTION Real operator()(i64 i) const {
    using namespace kernels;
    const i64 index = indices[i / (h * w)];
    const int row = static_cast<int>(i / w % h), column = static_cast<int>(i % w);
    const Bytes image{w, images + index * h * w};
    const Normalization to = draw(chain, chain.count - 1, key, index, h, w).normalize;
    if (chain.count == 1) return Real(normalised(image(row, column), to.mean, to.std));
    const Operation crop = draw(chain, 0, key, index, h, w), turn = draw(chain, 1, key, index, h, w);
    const float value = crop.kind == Operation::Kind::crop
                            ? Mapped<Cropped<Bytes>>{{{image, h, w, crop.crop}, h, w, turn.fill}, turn.affine, turn.interpolation}(row, column)
                            : Mapped<Bytes>{{image, h, w, turn.fill}, turn.affine, turn.interpolation}(row, column);
    return Real(normalised(value, to.mean, to.std));
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
