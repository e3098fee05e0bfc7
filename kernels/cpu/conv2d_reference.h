// The definition of convolution: plain loops, the oracle of every faster one. T is float or double.
#pragma once

#include <mica/kernels/conv2d.h>
#include <mica/kernels/cpu/parallel.h>

#include <algorithm>

namespace mica::kernels::reference {

// Calls f(o, weight index of (o,u,v,0), pixel index of the input, first input channel) for every filter tap that
// touches output pixel (n,i,j). A pixel index counts n,h,w; times c it is the pixel's first channel.
template <class F>
void for_each_tap(const Conv2dDims& d, i64 n, i64 i, i64 j, const F& f) {
  const i64 group_in = d.c / d.groups, group_out = d.o / d.groups;
  for (i64 u = 0; u < d.kh; ++u) {
    const i64 h = i * d.stride[0] - d.padding[0] + u * d.dilation[0];
    if (h < 0 || h >= d.h) continue;
    for (i64 v = 0; v < d.kw; ++v) {
      const i64 w = j * d.stride[1] - d.padding[1] + v * d.dilation[1];
      if (w < 0 || w >= d.w) continue;
      for (i64 o = 0; o < d.o; ++o)
        f(o, ((o * d.kh + u) * d.kw + v) * group_in, (n * d.h + h) * d.w + w, o / group_out * group_in);
    }
  }
}

template <class T>
void conv2d_forward(Cpu& cpu, const Conv2dDims& d, const T* x, const T* w, const T* bias, T* y) {
  const i64 group_in = d.c / d.groups;
  parallel_for(cpu, d.n * d.oh, 1, [&](i64 begin, i64 end) {
    for (i64 row = begin; row < end; ++row)
      for (i64 j = 0; j < d.ow; ++j) {
        T* out = y + (row * d.ow + j) * d.o;
        for (i64 o = 0; o < d.o; ++o) out[o] = bias ? bias[o] : T(0);
        for_each_tap(d, row / d.oh, row % d.oh, j, [&](i64 o, i64 weight, i64 pixel, i64 channel) {
          T total = 0;
          for (i64 c = 0; c < group_in; ++c) total += x[pixel * d.c + channel + c] * w[weight + c];
          out[o] += total;
        });
      }
  });
}

template <class T>
void conv2d_backward_data(Cpu& cpu, const Conv2dDims& d, const T* gy, const T* w, T* gx) {
  const i64 group_in = d.c / d.groups, image = d.h * d.w * d.c;
  parallel_for(cpu, d.n, 1, [&](i64 begin, i64 end) {
    std::fill(gx + begin * image, gx + end * image, T(0));
    for (i64 n = begin; n < end; ++n)
      for (i64 i = 0; i < d.oh; ++i)
        for (i64 j = 0; j < d.ow; ++j) {
          const T* g = gy + ((n * d.oh + i) * d.ow + j) * d.o;
          for_each_tap(d, n, i, j, [&](i64 o, i64 weight, i64 pixel, i64 channel) {
            for (i64 c = 0; c < group_in; ++c) gx[pixel * d.c + channel + c] += g[o] * w[weight + c];
          });
        }
  });
}

// Filters are divided between threads, and each sums over all pixels in order.
template <class T>
void conv2d_backward_weight(Cpu& cpu, const Conv2dDims& d, const T* x, const T* gy, T* gw, T* gb) {
  const i64 group_in = d.c / d.groups, filter = d.kh * d.kw * group_in, group_out = d.o / d.groups;
  parallel_for(cpu, d.o, 1, [&](i64 begin, i64 end) {
    std::fill(gw + begin * filter, gw + end * filter, T(0));
    if (gb) std::fill(gb + begin, gb + end, T(0));
    for (i64 pixel = 0; pixel < d.n * d.oh * d.ow; ++pixel) {
      const i64 n = pixel / (d.oh * d.ow), i = pixel / d.ow % d.oh, j = pixel % d.ow;
      for (i64 o = begin; o < end; ++o) {
        const T g = gy[pixel * d.o + o];
        if (gb) gb[o] += g;
        for (i64 u = 0; u < d.kh; ++u)
          for (i64 v = 0; v < d.kw; ++v) {
            const i64 h = i * d.stride[0] - d.padding[0] + u * d.dilation[0];
            const i64 w = j * d.stride[1] - d.padding[1] + v * d.dilation[1];
            if (h < 0 || h >= d.h || w < 0 || w >= d.w) continue;
            const T* from = x + ((n * d.h + h) * d.w + w) * d.c + o / group_out * group_in;
            T* to = gw + o * filter + (u * d.kw + v) * group_in;
            for (i64 c = 0; c < group_in; ++c) to[c] += g * from[c];
          }
      }
    }
  });
}

}  // namespace mica::kernels::reference
