#include "matmul.h"

#include "../families.h"

#include <mica/kernels/matmul.h>

namespace mica::bench::families {

namespace {

template <class Context>
void product(Cases<Context>& cases, const std::string& name, const kernels::MatmulDims& d, bool biased) {
  auto& c = cases.add(name + " " + shape({d.m, d.k}) + (d.transpose_b ? " by transposed " : " by ") +
                      shape(d.transpose_b ? std::initializer_list<i64>{d.n, d.k} : std::initializer_list<i64>{d.k, d.n}));
  const auto a = c.input(d.m * d.k), b = c.input(d.k * d.n), bias = c.input(d.n), y = c.output(d.m * d.n);
  c.flops = 2.0 * static_cast<double>(d.m * d.n * d.k);
  const auto run = [=](Context& context, const Set& s) { kernels::matmul(context, d, s[a], s[b], biased ? s[bias] : nullptr, s[y]); };
  c.native(run);
  c.library(on_cuda<Context> ? "cuBLAS" : "oneDNN", run);
  if (on_cuda<Context>) c.library("cuBLAS", run, Products::tf32);
  c.naive([=]<class V>(V& v) {
    v.each(d.m * d.n, y, MatmulFormula<typename V::Real>{d.n, d.k, d.transpose_b, v[a], v[b], biased ? v[bias] : nullptr});
  });
}

}  // namespace

template <class Context>
void matmul(Cases<Context>& cases) {
  const i64 square = cases.pick(33, 512, 2048), images = cases.pick(5, 128, 4096);
  product(cases, "square", {square, square, square}, false);
  product(cases, "linear", {images, 10, 32, false, true}, true);  // gap-19k's last layer
  product(cases, "wide linear", {images, cases.pick(17, 512, 512), cases.pick(29, 784, 784), false, true}, true);
}

}  // namespace mica::bench::families

MICA_FAMILY(matmul)
