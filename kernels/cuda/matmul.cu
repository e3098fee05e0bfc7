// Matrix product by tiles in shared memory: tile_product.h. It equals matmul_reference of kernels/cpu/matmul.cpp but for the
// order of its sums.
#include <mica/kernels/cuda/matmul.h>
#include <mica/kernels/cuda/tile_product.h>

namespace mica::kernels {
namespace {

// a is m×k, b is k×n, row-major unless transposed: a's p is contiguous unless transposed, b's where it is.
template <bool transpose_a, bool transpose_b, class T>
void matmul_tiled(Cuda& cuda, const MatmulDims& d, const T* a, const T* b, const T* bias, T* c) {
  const auto of_a = matrix<!transpose_a>(a, d.m, transpose_a ? d.m : d.k, d.m * d.k);
  const auto of_b = matrix<transpose_b>(b, d.n, transpose_b ? d.k : d.n, d.k * d.n);
  product(cuda, "matmul", d.m, d.n, d.k, d.batch, of_a, of_b, ProductOutput<T>{.data = c, .row_step = d.n, .product_step = d.m * d.n, .bias = bias});
}

}  // namespace

template <class T>
void native::matmul(Cuda& cuda, const MatmulDims& d, const T* a, const T* b, const T* bias, T* c) {
  if (d.transpose_a && d.transpose_b) matmul_tiled<true, true>(cuda, d, a, b, bias, c);
  else if (d.transpose_a) matmul_tiled<true, false>(cuda, d, a, b, bias, c);
  else if (d.transpose_b) matmul_tiled<false, true>(cuda, d, a, b, bias, c);
  else matmul_tiled<false, false>(cuda, d, a, b, bias, c);
}

template void native::matmul(Cuda&, const MatmulDims&, const float*, const float*, const float*, float*);
template void native::matmul(Cuda&, const MatmulDims&, const double*, const double*, const double*, double*);

}  // namespace mica::kernels
