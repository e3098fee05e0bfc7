// The emulated cuDNN: softmax.
#include "cudnn_fake.h"

#include <algorithm>

using namespace emulator;
using namespace emulator::cudnn;

namespace {

cudnnStatus_t check(const char* function, cudnnHandle_t handle, cudnnSoftmaxAlgorithm_t algorithm, cudnnSoftmaxMode_t mode,
                    const cudnnTensorStruct* a, const cudnnTensorStruct* b) {
  NEED_IN(function, handle, bad_param);
  NEED_IN(function, set(a, b), bad_param);
  NEED_IN(function, algorithm >= CUDNN_SOFTMAX_FAST && algorithm <= CUDNN_SOFTMAX_LOG, bad_param);
  NEED_IN(function, mode == CUDNN_SOFTMAX_MODE_INSTANCE || mode == CUDNN_SOFTMAX_MODE_CHANNEL, bad_param);
  NEED_IN(function, same_dims(a, b) && a->type == b->type, bad_param);
  NEED_IN(function, floating(a->type), not_supported);
  return ok;
}

// f(line) for every line, which calls its argument f(n, c, h, w) for every element of the line.
template <class F>
void each_line(const cudnnTensorStruct& d, cudnnSoftmaxMode_t mode, const F& f) {
  const bool instance = mode == CUDNN_SOFTMAX_MODE_INSTANCE;
  for (int n = 0; n < d.n; ++n)
    for (int y = 0; y < (instance ? 1 : d.h); ++y)
      for (int x = 0; x < (instance ? 1 : d.w); ++x)
        f([=](const auto& use) {
          for (int c = 0; c < d.c; ++c)
            for (int h = instance ? 0 : y; h < (instance ? d.h : y + 1); ++h)
              for (int w = instance ? 0 : x; w < (instance ? d.w : x + 1); ++w) use(n, c, h, w);
        });
}

}  // namespace

cudnnStatus_t cudnnSoftmaxForward(cudnnHandle_t handle, cudnnSoftmaxAlgorithm_t algorithm, cudnnSoftmaxMode_t mode, const void* alpha,
                                  cudnnTensorDescriptor_t xd, const void* xp, const void* beta, cudnnTensorDescriptor_t yd, void* yp) {
  ENTER();
  NEED(given(alpha, beta, xp, yp), bad_param);
  PASS(check(__func__, handle, algorithm, mode, xd, yd));
  return run(handle, __func__, {read(xd, xp), written(yd, yp)}, [=, xd = *xd, yd = *yd, blend = Blend(xd->type, alpha, beta)] {
    by_type(xd.type, [&](auto t) {
      const View<decltype(t)> x(xd, xp), y(yd, yp);
      each_line(xd, mode, [&](const auto& line) {
        double top = algorithm == CUDNN_SOFTMAX_FAST ? 0 : -INFINITY, sum = 0;
        if (algorithm != CUDNN_SOFTMAX_FAST) line([&](int n, int c, int h, int w) { top = std::max(top, x.at(n, c, h, w)); });
        line([&](int n, int c, int h, int w) { sum += std::exp(x.at(n, c, h, w) - top); });
        line([&](int n, int c, int h, int w) {
          const double v = x.at(n, c, h, w) - top;
          blend(y(n, c, h, w), algorithm == CUDNN_SOFTMAX_LOG ? v - std::log(sum) : std::exp(v) / sum);
        });
      });
    });
  });
}

cudnnStatus_t cudnnSoftmaxBackward(cudnnHandle_t handle, cudnnSoftmaxAlgorithm_t algorithm, cudnnSoftmaxMode_t mode, const void* alpha,
                                   cudnnTensorDescriptor_t yd, const void* yp, cudnnTensorDescriptor_t gyd, const void* gyp,
                                   const void* beta, cudnnTensorDescriptor_t gxd, void* gxp) {
  ENTER();
  NEED(given(alpha, beta, yp, gyp, gxp), bad_param);
  PASS(check(__func__, handle, algorithm, mode, yd, gyd));
  PASS(check(__func__, handle, algorithm, mode, yd, gxd));
  return run(handle, __func__, {read(yd, yp), read(gyd, gyp), written(gxd, gxp)},
             [=, yd = *yd, gyd = *gyd, gxd = *gxd, blend = Blend(yd->type, alpha, beta)] {
               by_type(yd.type, [&](auto t) {
                 const View<decltype(t)> y(yd, yp), gy(gyd, gyp), gx(gxd, gxp);
                 const bool logarithm = algorithm == CUDNN_SOFTMAX_LOG;
                 each_line(yd, mode, [&](const auto& line) {
                   double sum = 0;
                   line([&](int n, int c, int h, int w) { sum += gy.at(n, c, h, w) * (logarithm ? 1 : y.at(n, c, h, w)); });
                   line([&](int n, int c, int h, int w) {
                     const double v = y.at(n, c, h, w), g = gy.at(n, c, h, w);
                     blend(gx(n, c, h, w), logarithm ? g - std::exp(v) * sum : v * (g - sum));
                   });
                 });
               });
             });
}
