// The emulated cuDNN: batch normalisation. The running variance is unbiased; what is saved is the mean and 1 / √(var + epsilon).
#include "cudnn_fake.h"

using namespace emulator;
using namespace emulator::cudnn;

cudnnStatus_t cudnnDeriveBNTensorDescriptor(cudnnTensorDescriptor_t bn, cudnnTensorDescriptor_t x, cudnnBatchNormMode_t mode) {
  ENTER();
  NEED(bn && set(x), bad_param);
  const bool spatial = mode != CUDNN_BATCHNORM_PER_ACTIVATION;
  const cudnnDataType_t type = x->type == CUDNN_DATA_DOUBLE ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT;
  return cudnnSetTensor4dDescriptor(bn, CUDNN_TENSOR_NCHW, type, 1, x->c, spatial ? 1 : x->h, spatial ? 1 : x->w);
}

namespace {

cudnnStatus_t check(const char* function, cudnnHandle_t handle, cudnnBatchNormMode_t mode, const cudnnTensorStruct* x,
                    const cudnnTensorStruct* y, const cudnnTensorStruct* bn, double epsilon) {
  NEED_IN(function, handle, bad_param);
  NEED_IN(function, set(x, y, bn), bad_param);
  NEED_IN(function, same_dims(x, y), bad_param);
  NEED_IN(function, mode == CUDNN_BATCHNORM_PER_ACTIVATION || (bn->n == 1 && bn->c == x->c && bn->h == 1 && bn->w == 1), bad_param);
  NEED_IN(function, epsilon >= CUDNN_BN_MIN_EPSILON, bad_param);
  NEED_IN(function, bn->type == x->type, bad_param);
  NEED_IN(function, mode != CUDNN_BATCHNORM_PER_ACTIVATION && same_floating(x, y), not_supported);
  return ok;
}

std::vector<Buffer> buffers_of(const std::vector<Buffer>& images, const cudnnTensorStruct* bn, const std::vector<Buffer>& per_channel) {
  std::vector<Buffer> all = images;
  for (const Buffer& b : per_channel)
    if (b.p) all.push_back({b.p, extent(*bn) * size_of(bn->type), b.written});
  return all;
}

// Of every channel of x.
struct Statistics {
  double count;
  std::vector<double> mean, variance;

  template <class T>
  explicit Statistics(const View<T>& x) : count(double(x.n) * x.h * x.w), mean(std::size_t(x.c)), variance(std::size_t(x.c)) {
    std::vector<double> origin(mean.size());
    for (int c = 0; c < x.c; ++c) origin[std::size_t(c)] = x.at(0, c, 0, 0);  // equal values have exactly this mean
    x.each([&](int n, int c, int h, int w) { mean[std::size_t(c)] += x.at(n, c, h, w) - origin[std::size_t(c)]; });
    for (std::size_t c = 0; c < mean.size(); ++c) mean[c] = origin[c] + mean[c] / count;
    x.each([&](int n, int c, int h, int w) {
      const double off = x.at(n, c, h, w) - mean[std::size_t(c)];
      variance[std::size_t(c)] += off * off / count;
    });
  }
};

// What was saved, or, where that is the same but for f32's rounding, the exact value.
double unrounded(double saved, double exact) { return std::abs(saved - exact) <= 1e-6 * std::abs(exact) ? exact : saved; }

}  // namespace

cudnnStatus_t cudnnBatchNormalizationForwardTraining(cudnnHandle_t handle, cudnnBatchNormMode_t mode, const void* alpha, const void* beta,
                                                     cudnnTensorDescriptor_t xd, const void* xp, cudnnTensorDescriptor_t yd, void* yp,
                                                     cudnnTensorDescriptor_t bn, const void* scale, const void* bias, double factor,
                                                     void* running_mean, void* running_variance, double epsilon, void* saved_mean,
                                                     void* saved_inverse) {
  ENTER();
  NEED(given(alpha, beta, xp, yp, scale, bias), bad_param);
  PASS(check(__func__, handle, mode, xd, yd, bn, epsilon));
  NEED(!running_mean == !running_variance && !saved_mean == !saved_inverse, bad_param);
  return run(
      handle, __func__,
      buffers_of(
          {read(xd, xp), written(yd, yp)}, bn,
          {{scale, 0}, {bias, 0}, {running_mean, 0, true}, {running_variance, 0, true}, {saved_mean, 0, true}, {saved_inverse, 0, true}}),
      [=, xd = *xd, yd = *yd, bn = *bn, blend = Blend(xd->type, alpha, beta)] {
        by_type(xd.type, [&](auto t) {
          using T = decltype(t);
          const View<T> x(xd, xp), y(yd, yp), w(bn, scale), b(bn, bias), rm(bn, running_mean), rv(bn, running_variance), sm(bn, saved_mean),
              si(bn, saved_inverse);
          const Statistics of(x);
          const auto inverse = [&](std::size_t c) { return 1 / std::sqrt(of.variance[c] + epsilon); };
          y.each([&](int n, int c, int h, int pixel) {
            const auto i = std::size_t(c);
            blend(y(n, c, h, pixel), (x.at(n, c, h, pixel) - of.mean[i]) * inverse(i) * w.at(0, c, 0, 0) + b.at(0, c, 0, 0));
          });
          for (int c = 0; c < x.c; ++c) {
            const auto i = std::size_t(c);
            const auto learn = [&](T& running, double value) {
              running = static_cast<T>(factor * value + (1 - factor) * static_cast<double>(running));
            };
            if (rm.p) learn(rm(0, c, 0, 0), of.mean[i]), learn(rv(0, c, 0, 0), of.variance[i] * of.count / (of.count - 1));
            if (sm.p) sm(0, c, 0, 0) = static_cast<T>(of.mean[i]), si(0, c, 0, 0) = static_cast<T>(inverse(i));
          }
        });
      });
}

cudnnStatus_t cudnnBatchNormalizationForwardInference(cudnnHandle_t handle, cudnnBatchNormMode_t mode, const void* alpha, const void* beta,
                                                      cudnnTensorDescriptor_t xd, const void* xp, cudnnTensorDescriptor_t yd, void* yp,
                                                      cudnnTensorDescriptor_t bn, const void* scale, const void* bias, const void* mean,
                                                      const void* variance, double epsilon) {
  ENTER();
  NEED(given(alpha, beta, xp, yp, scale, bias, mean, variance), bad_param);
  PASS(check(__func__, handle, mode, xd, yd, bn, epsilon));
  return run(handle, __func__, buffers_of({read(xd, xp), written(yd, yp)}, bn, {{scale, 0}, {bias, 0}, {mean, 0}, {variance, 0}}),
             [=, xd = *xd, yd = *yd, bn = *bn, blend = Blend(xd->type, alpha, beta)] {
               by_type(xd.type, [&](auto t) {
                 using T = decltype(t);
                 const View<T> x(xd, xp), y(yd, yp), w(bn, scale), b(bn, bias), m(bn, mean), v(bn, variance);
                 y.each([&](int n, int c, int h, int pixel) {
                   const double inverse = 1 / std::sqrt(v.at(0, c, 0, 0) + epsilon);
                   blend(y(n, c, h, pixel), (x.at(n, c, h, pixel) - m.at(0, c, 0, 0)) * inverse * w.at(0, c, 0, 0) + b.at(0, c, 0, 0));
                 });
               });
             });
}

cudnnStatus_t cudnnBatchNormalizationBackward(cudnnHandle_t handle, cudnnBatchNormMode_t mode, const void* alpha_data,
                                              const void* beta_data, const void* alpha_parameters, const void* beta_parameters,
                                              cudnnTensorDescriptor_t xd, const void* xp, cudnnTensorDescriptor_t gyd, const void* gyp,
                                              cudnnTensorDescriptor_t gxd, void* gxp, cudnnTensorDescriptor_t bn, const void* scale,
                                              void* gw, void* gb, double epsilon, const void* saved_mean, const void* saved_inverse) {
  ENTER();
  NEED(given(alpha_data, beta_data, alpha_parameters, beta_parameters, xp, gyp, gxp, scale, gw, gb), bad_param);
  PASS(check(__func__, handle, mode, xd, gyd, bn, epsilon));
  PASS(check(__func__, handle, mode, xd, gxd, bn, epsilon));
  NEED(!saved_mean == !saved_inverse, bad_param);
  return run(handle, __func__,
             buffers_of({read(xd, xp), read(gyd, gyp), written(gxd, gxp)}, bn,
                        {{scale, 0}, {gw, 0, true}, {gb, 0, true}, {saved_mean, 0}, {saved_inverse, 0}}),
             [=, xd = *xd, gyd = *gyd, gxd = *gxd, bn = *bn, blend = Blend(xd->type, alpha_data, beta_data),
              blend_parameters = Blend(xd->type, alpha_parameters, beta_parameters)] {
               by_type(xd.type, [&](auto t) {
                 using T = decltype(t);
                 const View<T> x(xd, xp), gy(gyd, gyp), gx(gxd, gxp), w(bn, scale), sm(bn, saved_mean), si(bn, saved_inverse), to_w(bn, gw),
                     to_b(bn, gb);
                 const Statistics of(x);
                 const auto mean = [&](int c) {
                   return sm.p ? unrounded(sm.at(0, c, 0, 0), of.mean[std::size_t(c)]) : of.mean[std::size_t(c)];
                 };
                 const auto inverse = [&](int c) {
                   const double exact = 1 / std::sqrt(of.variance[std::size_t(c)] + epsilon);
                   return si.p ? unrounded(si.at(0, c, 0, 0), exact) : exact;
                 };
                 std::vector<double> sum(std::size_t(x.c)), product(std::size_t(x.c));
                 const auto normal = [&](int n, int c, int h, int pixel) { return (x.at(n, c, h, pixel) - mean(c)) * inverse(c); };
                 x.each([&](int n, int c, int h, int pixel) {
                   sum[std::size_t(c)] += gy.at(n, c, h, pixel);
                   product[std::size_t(c)] += gy.at(n, c, h, pixel) * normal(n, c, h, pixel);
                 });
                 gx.each([&](int n, int c, int h, int pixel) {
                   const double off = (sum[std::size_t(c)] + normal(n, c, h, pixel) * product[std::size_t(c)]) / of.count;
                   blend(gx(n, c, h, pixel), w.at(0, c, 0, 0) * inverse(c) * (gy.at(n, c, h, pixel) - off));
                 });
                 for (int c = 0; c < x.c; ++c) {
                   blend_parameters(to_w(0, c, 0, 0), product[std::size_t(c)]);
                   blend_parameters(to_b(0, c, 0, 0), sum[std::size_t(c)]);
                 }
               });
             });
}
