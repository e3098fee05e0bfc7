// The emulated cuDNN: pooling. Among equal maxima the first wins, with CUDNN_POOLING_MAX the last: the real library promises neither.
#include "cudnn_fake.h"

#include <algorithm>

using namespace emulator;
using namespace emulator::cudnn;

cudnnStatus_t cudnnSetPooling2dDescriptor(cudnnPoolingDescriptor_t d, cudnnPoolingMode_t mode, cudnnNanPropagation_t nan, int h, int w,
                                          int ph, int pw, int sh, int sw) {
  ENTER();
  NEED(d, bad_param);
  NEED(mode >= CUDNN_POOLING_MAX && mode <= CUDNN_POOLING_MAX_DETERMINISTIC, bad_param);
  NEED(nan == CUDNN_NOT_PROPAGATE_NAN || nan == CUDNN_PROPAGATE_NAN, bad_param);
  NEED(std::min(h, w) > 0, bad_param);
  NEED(std::min(sh, sw) > 0, bad_param);
  *d = {true, mode, nan, h, w, ph, pw, sh, sw};
  return ok;
}

cudnnStatus_t cudnnGetPooling2dForwardOutputDim(cudnnPoolingDescriptor_t d, cudnnTensorDescriptor_t x, int* n, int* c, int* h, int* w) {
  ENTER();
  NEED(set(d) && set(x), bad_param);
  *n = x->n, *c = x->c, *h = (x->h + 2 * d->ph - d->h) / d->sh + 1, *w = (x->w + 2 * d->pw - d->w) / d->sw + 1;
  return ok;
}

namespace {

cudnnStatus_t check(const char* function, cudnnHandle_t handle, cudnnPoolingDescriptor_t d, cudnnTensorDescriptor_t x,
                    cudnnTensorDescriptor_t y) {
  int n = 0, c = 0, h = 0, w = 0;
  NEED_IN(function, handle, bad_param);
  NEED_IN(function, set(y), bad_param);
  PASS(cudnnGetPooling2dForwardOutputDim(d, x, &n, &c, &h, &w));
  NEED_IN(function, y->n == n && y->c == c && y->h == h && y->w == w, bad_param);
  NEED_IN(function, same_floating(x, y), not_supported);
  return ok;
}

bool is_max(const cudnnPoolingStruct& d) { return d.mode == CUDNN_POOLING_MAX || d.mode == CUDNN_POOLING_MAX_DETERMINISTIC; }

// f(h, w) for the pixels of a window that lie inside the image; returns the divisor of its average.
template <class F>
int window(const cudnnPoolingStruct& d, const cudnnTensorStruct& x, int oh, int ow, const F& f) {
  int inside = 0;
  for (int h = oh * d.sh - d.ph; h < oh * d.sh - d.ph + d.h; ++h)
    for (int w = ow * d.sw - d.pw; w < ow * d.sw - d.pw + d.w; ++w)
      if (h >= 0 && h < x.h && w >= 0 && w < x.w) f(h, w), ++inside;
  return d.mode == CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING ? d.h * d.w : inside;
}

// The value that wins a window, and where it lies. NaN wins where it is to be propagated.
template <class T>
struct Winner {
  double value = -INFINITY;
  std::size_t at = 0;
  bool found = false;

  Winner(const cudnnPoolingStruct& d, const View<T>& x, int n, int c, int oh, int ow) {
    window(d, x, oh, ow, [&](int h, int w) {
      const double v = x.at(n, c, h, w);
      const bool nan = v != v, larger = d.mode == CUDNN_POOLING_MAX ? v >= value : v > value;
      if (larger || !found || (nan && d.nan == CUDNN_PROPAGATE_NAN)) value = v, at = offset(x, n, c, h, w), found = true;
    });
  }
};

}  // namespace

cudnnStatus_t cudnnPoolingForward(cudnnHandle_t handle, cudnnPoolingDescriptor_t pd, const void* alpha, cudnnTensorDescriptor_t xd,
                                  const void* xp, const void* beta, cudnnTensorDescriptor_t yd, void* yp) {
  ENTER();
  NEED(given(alpha, beta, xp, yp), bad_param);
  PASS(check(__func__, handle, pd, xd, yd));
  return run(handle, __func__, {read(xd, xp), written(yd, yp)}, [=, xd = *xd, yd = *yd, d = *pd, blend = Blend(xd->type, alpha, beta)] {
    by_type(xd.type, [&](auto t) {
      using T = decltype(t);
      const View<T> x(xd, xp), y(yd, yp);
      y.each([&](int n, int c, int oh, int ow) {
        double sum = 0;
        const int count = window(d, x, oh, ow, [&](int h, int w) { sum += x.at(n, c, h, w); });
        blend(y(n, c, oh, ow), is_max(d) ? Winner<T>(d, x, n, c, oh, ow).value : sum / count);
      });
    });
  });
}

// Averages read neither x nor y.
cudnnStatus_t cudnnPoolingBackward(cudnnHandle_t handle, cudnnPoolingDescriptor_t pd, const void* alpha, cudnnTensorDescriptor_t yd,
                                   const void* yp, cudnnTensorDescriptor_t gyd, const void* gyp, cudnnTensorDescriptor_t xd, const void* xp,
                                   const void* beta, cudnnTensorDescriptor_t gxd, void* gxp) {
  ENTER();
  NEED(given(alpha, beta, yp, gyp, xp, gxp), bad_param);
  PASS(check(__func__, handle, pd, xd, yd));
  NEED(set(gyd, gxd), bad_param);
  NEED(same_dims(yd, gyd) && same_dims(xd, gxd) && same_floating(xd, gxd) && same_floating(yd, gyd), bad_param);
  return run(handle, __func__, {read(xd, xp), read(yd, yp), read(gyd, gyp), written(gxd, gxp)},
             [=, xd = *xd, yd = *yd, gyd = *gyd, gxd = *gxd, d = *pd, blend = Blend(xd->type, alpha, beta)] {
               by_type(xd.type, [&](auto t) {
                 using T = decltype(t);
                 const View<T> x(xd, xp), y(yd, yp), gy(gyd, gyp), gx(gxd, gxp);
                 std::vector<double> sums(extent(gxd));
                 gy.each([&](int n, int c, int oh, int ow) {
                   const double g = gy.at(n, c, oh, ow);
                   if (is_max(d)) {
                     const Winner<T> winner(d, x, n, c, oh, ow);
                     const double top = y.at(n, c, oh, ow);  // a y that is not x's gives no gradient
                     if (winner.found && (winner.value == top || (winner.value != winner.value && top != top))) sums[winner.at] += g;
                   } else {
                     const int count = window(d, x, oh, ow, [](int, int) {});
                     window(d, x, oh, ow, [&](int h, int w) { sums[offset(gxd, n, c, h, w)] += g / count; });
                   }
                 });
                 gx.each([&](int n, int c, int h, int w) { blend(gx(n, c, h, w), sums[offset(gxd, n, c, h, w)]); });
               });
             });
}
