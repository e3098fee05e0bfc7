// Batch norm's kernels on CUDA beside the CPU's, on sizes that reach one block and many, packs and single channels, one
// tile of channels and several.
#ifdef MICA_CUDA
#include "on_cuda.h"

#include <mica/core/ops.h>
#include <mica/kernels/batch_norm.h>

using namespace mica;
using namespace mica::test;

namespace {

struct Size {
  std::int64_t rows, channels, offset;  // x begins `offset` elements after an aligned address
};
const Size sizes[] = {{1, 1, 0},    {2, 3, 0},     {7, 4, 0},     {large(100003), 1, 0}, {large(5003), 2, 1}, {large(20011), 16, 0}, {large(20011), 16, 1},
                      {large(9001), 64, 0}, {large(4099), 33, 0}, {6, 1000, 0}, {700, 130, 2},  {3, 4097, 0}, {1031, 36, 0},  {large(40009), 8, 4}};

std::string text(const Size& s) { return std::to_string(s.rows) + "×" + std::to_string(s.channels) + " from " + std::to_string(s.offset) + " on"; }

// The same values on both, where the view on each begins at the offset.
struct Both {
  Tensor cpu, cuda;

  Both(const Size& s, const Tensor& values) : Both(s.offset, values) {}
  Both(std::int64_t offset, const Tensor& values) {
    const std::int64_t n = values.numel();
    const Tensor padded = Tensor::zeros({offset + n}, values.dtype());
    padded.slice(offset, offset + n).copy_(values.reshape({n}));
    cpu = padded.slice(offset, offset + n);
    cuda = on_cuda(padded).slice(offset, offset + n);
  }
};

Tensor vector(const char* name, std::int64_t channels, DType type) { return noise({channels}, name, type); }

template <class T>
struct Learnt {
  Tensor mean, variance, inverse_std, scale, shift, running_mean, running_var, batches;

  template <class Context>
  Learnt(Context& context, const Size& s, const Tensor& x, std::optional<double> momentum, int times) {
    const Device device = x.device();
    for (Tensor* t : {&mean, &variance, &inverse_std, &scale, &shift}) *t = Tensor::zeros({s.channels}, dtype_of<T>, device);
    const Tensor w = vector("w", s.channels, dtype_of<T>).to(device), b = vector("b", s.channels, dtype_of<T>).to(device);
    running_mean = vector("running mean", s.channels, dtype_of<T>).to(device).clone();
    running_var = Tensor::ones({s.channels}, dtype_of<T>, device);
    batches = Tensor::zeros({}, DType::i64, device);
    for (int i = 0; i < times; ++i)
      kernels::batch_norm_of_batch<T>(context, {s.rows, s.channels}, x.data<T>(), {1e-5, w.data<T>(), b.data<T>()},
                                      {running_mean.data<T>(), running_var.data<T>(), batches.data<std::int64_t>(), momentum}, variance.data<T>(),
                                      {mean.data<T>(), inverse_std.data<T>(), scale.data<T>(), shift.data<T>()});
  }
};

template <class T>
void compare_statistics(const Size& s, double middle, double spread, double tolerance) {
  INFO(text(s) << ", " << middle << " ± " << spread);
  const Both x(s, noise({s.rows, s.channels}, "x", dtype_of<T>, middle - spread, middle + spread));
  const std::optional<double> momentum = s.rows % 2 ? std::optional(0.3) : std::nullopt;
  const Learnt<T> have(cuda_context(Device::cuda()), s, x.cuda, momentum, 2), same(cpu_context(), s, x.cpu, momentum, 2);
  const Learnt<double> want(cpu_context(), s, x.cpu.to(DType::f64), momentum, 2);
  const auto off = [](const Tensor& a, const Tensor& b) { return largest(on_cpu(a).to(DType::f64) - b.to(DType::f64)); };
  CHECK(off(have.mean, want.mean) < tolerance * 0.1 * (std::abs(middle) + spread));  // the mean itself may be near zero
  CHECK(difference(on_cpu(have.variance), want.variance) < tolerance);
  CHECK(difference(on_cpu(have.inverse_std), want.inverse_std) < tolerance);
  CHECK(difference(on_cpu(have.scale), want.scale) < tolerance);
  CHECK(values(have.batches) == std::vector<double>{2});
  if (s.rows == 1) return;  // no unbiased variance
  CHECK(off(have.running_mean, same.running_mean) < tolerance * (std::abs(middle) + spread));
  CHECK(difference(on_cpu(have.running_var), same.running_var) < tolerance);
}

template <class T>
void compare_apply(const Size& s, const kernels::Epilogue& epilogue) {
  INFO(text(s) << (epilogue.relu ? ", relu" : "") << ", dropout " << epilogue.dropout.p);
  const Both x(s, noise({s.rows, s.channels}, "x", dtype_of<T>)), scale(s.offset, vector("scale", s.channels, dtype_of<T>)), shift(0, vector("shift", s.channels, dtype_of<T>));
  Tensor y = Tensor::empty({s.rows * s.channels}, dtype_of<T>);
  const Both to(s, Tensor::zeros({s.rows, s.channels}, dtype_of<T>));
  kernels::batch_norm_apply<T>(cpu_context(), {s.rows, s.channels}, x.cpu.data<T>(), scale.cpu.data<T>(), shift.cpu.data<T>(), epilogue, y.data<T>());
  kernels::batch_norm_apply<T>(cuda_context(Device::cuda()), {s.rows, s.channels}, x.cuda.data<T>(), scale.cuda.data<T>(), shift.cuda.data<T>(), epilogue, to.cuda.data<T>());
  CHECK(same_bits(on_cpu(to.cuda), y));
}

template <class T>
struct Gradient {
  Tensor gx, gw, gb;

  // y: of apply, from the same factors; mean and inverse_std need not be x's own.
  template <class Context>
  Gradient(Context& context, const Size& s, const Tensor& x, const Tensor& gy, bool training, const kernels::Epilogue& epilogue, bool want_gx) {
    const Device device = x.device();
    const auto on_device = [&](const char* name) { return vector(name, s.channels, dtype_of<T>).to(device); };
    const Tensor mean = on_device("mean"), inverse_std = on_device("inverse_std"), scale = on_device("scale"), shift = on_device("shift"), w = on_device("w");
    const kernels::BatchNormDims d{s.rows, s.channels};
    const Tensor y = Tensor::empty(x.shape(), dtype_of<T>, device);
    kernels::batch_norm_apply<T>(context, d, x.data<T>(), scale.data<T>(), shift.data<T>(), epilogue, y.data<T>());
    gx = Tensor::zeros(x.shape(), dtype_of<T>, device), gw = Tensor::zeros({s.channels}, dtype_of<T>, device), gb = gw.clone();
    kernels::batch_norm_backward<T>(context, d, x.data<T>(), y.data<T>(), gy.data<T>(), {mean.data<T>(), inverse_std.data<T>(), scale.data<T>(), shift.data<T>()},
                                    w.data<T>(), training, epilogue, want_gx ? gx.data<T>() : nullptr, gw.data<T>(), gb.data<T>());
  }
};

template <class T>
void compare_backward(const Size& s, bool training, const kernels::Epilogue& epilogue, bool want_gx, double tolerance) {
  INFO(text(s) << (training ? ", training" : ", evaluation") << (epilogue.relu ? ", relu" : "") << ", dropout " << epilogue.dropout.p);
  const Both x(s, noise({s.rows, s.channels}, "x", dtype_of<T>)), gy(s, noise({s.rows, s.channels}, "gy", dtype_of<T>));
  const Gradient<T> have(cuda_context(Device::cuda()), s, x.cuda, gy.cuda, training, epilogue, want_gx);
  const Gradient<T> want(cpu_context(), s, x.cpu, gy.cpu, training, epilogue, want_gx);
  CHECK(difference(on_cpu(have.gw), want.gw) < tolerance);
  CHECK(difference(on_cpu(have.gb), want.gb) < tolerance);
  const double lost = std::max(1.0, 1 / std::max(largest(want.gx), 1e-300));  // a single row's gradient cancels to little
  CHECK(difference(on_cpu(have.gx), want.gx) < tolerance * lost);
}

const kernels::Epilogue epilogues[] = {{}, {.relu = true, .dropout = {}}, {.relu = true, .dropout = {0.4, {7, 8, 9}}}, {.relu = true, .dropout = {1.0, {7, 8, 9}}}};

}  // namespace

TEST_CASE("batch statistics on CUDA agree with f64, near zero and far from it", "[cuda]") {
  if (no_device()) return;
  for (const Size& s : sizes) {
    compare_statistics<float>(s, 0, 1, 1e-6);
    compare_statistics<float>(s, 1e4, 1, 1e-6);
    compare_statistics<double>(s, 0, 1, 1e-13);
    compare_statistics<double>(s, 1e4, 1, 1e-11);  // both subtract a mean of 1e4, rounded
  }
}

#ifndef MICA_CUDA_EMULATED  // which needs minutes for the sixteen million threads of this
// No packs, so that a tile is 32 channels, and more tiles than a grid takes along y.
TEST_CASE("batch statistics on CUDA of two million channels", "[cuda]") {
  if (no_device()) return;
  const Size s{1, 65536 * 32 + 1, 0};
  const Tensor x = noise({s.rows, s.channels}, "x");
  const Learnt<float> learnt(cuda_context(Device::cuda()), s, on_cuda(x), 0.3, 1);
  CHECK(same_bits(on_cpu(learnt.mean), x.reshape({s.channels})));
  CHECK(values(learnt.batches) == std::vector<double>{1});
}
#endif

TEST_CASE("equal values have no variance on CUDA, not even a rounding's", "[cuda]") {
  if (no_device()) return;
  for (const Size& s : sizes) {
    const Learnt<float> f(cuda_context(Device::cuda()), s, Both(s, Tensor::full({s.rows, s.channels}, 0.1)).cuda, 0.1, 1);
    const Learnt<double> d(cuda_context(Device::cuda()), s, Both(s, Tensor::full({s.rows, s.channels}, 0.1, DType::f64)).cuda, 0.1, 1);
    CHECK(largest(on_cpu(f.variance)) == 0);
    CHECK(largest(on_cpu(d.variance)) == 0);
    CHECK(on_cpu(d.mean).to_vector<double>() == std::vector<double>(static_cast<std::size_t>(s.channels), 0.1));
  }
}

TEST_CASE("batch norm's ReLU and dropout have the CPU's bits on CUDA", "[cuda]") {
  if (no_device()) return;
  for (const Size& s : sizes)
    for (const kernels::Epilogue& epilogue : epilogues) {
      compare_apply<float>(s, epilogue);
      compare_apply<double>(s, epilogue);
    }
}

TEST_CASE("batch norm's gradients on CUDA equal the CPU's", "[cuda]") {
  if (no_device()) return;
  for (const Size& s : sizes)
    for (const kernels::Epilogue& epilogue : epilogues)
      for (const bool training : {true, false}) {
        if (!training && epilogue.relu != (epilogue.dropout.p == 0.4)) continue;  // then the epilogue is the same code
        compare_backward<float>(s, training, epilogue, true, 3e-6);
        compare_backward<double>(s, training, epilogue, true, 1e-12);  // the CPU adds all rows one after another
      }
  compare_backward<float>(sizes[3], true, {}, false, 3e-6);
}
#endif
