#include <mica/kernels/cpu/onednn.h>
#include <mica/kernels/cpu/parallel.h>
#include <mica/kernels/matmul.h>

namespace mica::kernels {
namespace {

template <class T>
void matmul_reference(Cpu& cpu, const MatmulDims& d, const T* a, const T* b, const T* bias, T* c) {
  const i64 a_row = d.transpose_a ? 1 : d.k, a_step = d.transpose_a ? d.m : 1;
  const i64 b_row = d.transpose_b ? 1 : d.n, b_step = d.transpose_b ? d.k : 1;
  parallel_for(cpu, d.batch * d.m, 1 + 16384 / (d.n * d.k + 1), [&](i64 begin, i64 end) {
    for (i64 at = begin; at < end; ++at) {
      const i64 product = at / d.m, i = at % d.m;
      const T *from_a = a + product * d.m * d.k, *from_b = b + product * d.k * d.n;
      T* row = c + at * d.n;
      for (i64 j = 0; j < d.n; ++j) row[j] = bias ? bias[j] : T(0);
      for (i64 p = 0; p < d.k; ++p) {
        const T scale = from_a[i * a_row + p * a_step];
        for (i64 j = 0; j < d.n; ++j) row[j] += scale * from_b[p * b_row + j * b_step];
      }
    }
  });
}

}  // namespace

void matmul(Cpu& cpu, const MatmulDims& d, const double* a, const double* b, const double* bias, double* c) {
  matmul_reference(cpu, d, a, b, bias, c);
}

#ifndef MICA_ONEDNN

void matmul(Cpu& cpu, const MatmulDims& d, const float* a, const float* b, const float* bias, float* c) {
  matmul_reference(cpu, d, a, b, bias, c);
}

#else

void matmul(Cpu& cpu, const MatmulDims& d, const float* a, const float* b, const float* bias, float* c) {
  const bool empty = d.batch * d.m * d.n * d.k == 0;  // oneDNN's answer to k = 0 is not defined
  if (empty || cpu.settings().policy(LibraryOp::matmul) == Policy::native) return matmul_reference(cpu, d, a, b, bias, c);
  using dnnl::memory;
  constexpr auto f32 = memory::data_type::f32;
  PrimitiveCache& cache = cpu.primitives();
  const PrimitiveCache::Key key{4, d.batch, d.m, d.n, d.k, d.transpose_a, d.transpose_b, bias != nullptr};
  const Primitive& p = cache.get(key, [&] {
    // A single product is described as a matrix: with a batch of one oneDNN 2.6 takes slower code.
    const auto layout = [&](i64 rows, i64 columns, bool transposed) {
      memory::dims sizes{d.batch, rows, columns}, strides{rows * columns, transposed ? 1 : columns, transposed ? rows : 1};
      if (d.batch == 1) sizes.erase(sizes.begin()), strides.erase(strides.begin());
      return memory::desc(sizes, f32, strides);
    };
    const memory::desc a_layout = layout(d.m, d.k, d.transpose_a), b_layout = layout(d.k, d.n, d.transpose_b);
    const memory::desc bias_layout({1, d.n}, f32, memory::dims{d.n, 1}), c_layout = layout(d.m, d.n, false);
    const auto descriptor = bias ? describe<dnnl::matmul>(cache.engine(), std::tuple<>(), a_layout, b_layout, bias_layout, c_layout)
                                 : describe<dnnl::matmul>(cache.engine(), std::tuple<>(), a_layout, b_layout, c_layout);
    std::map<int, memory::desc> arguments{{DNNL_ARG_SRC, a_layout}, {DNNL_ARG_WEIGHTS, b_layout}, {DNNL_ARG_DST, c_layout}};
    if (bias) arguments[DNNL_ARG_BIAS] = bias_layout;
    return Primitive{dnnl::matmul(descriptor), {}, {}, descriptor.scratchpad_desc(), {}, false, std::move(arguments)};
  });
  cache.execute(cpu, p, {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_BIAS, bias}, {DNNL_ARG_DST, c}});
}

#endif

}  // namespace mica::kernels
