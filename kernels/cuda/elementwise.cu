// Elementwise kernels: functors of kernels/functors.h over dense operands in packs of 16 bytes, or over any strides.
#include <mica/kernels/cuda/launch.h>
#include <mica/kernels/cuda/pack.h>
#include <mica/kernels/cuda/strided.h>
#include <mica/kernels/elementwise.h>

namespace mica::kernels {
namespace {

enum class Want { forward, grad_a, grad_b };

template <Want want, class F, class T>
MICA_DEVICE T result(const F& f, T a, T b, T gy) {
  if constexpr (want == Want::forward) return f.template forward<true>(a, b);
  else if constexpr (want == Want::grad_a) return f.template grad_a<true>(a, b, gy);
  else return f.template grad_b<true>(a, b, gy);
}

// An input of a dense kernel: n elements, or one for all.
template <class T>
struct Input {
  const T* x;
  bool single;

  MICA_DEVICE T element(unsigned i) const { return x[single ? 0 : i]; }
  MICA_DEVICE Pack<T> pack(unsigned p) const {
    if (!single) return load_pack(x + p * Pack<T>::size);
    Pack<T> same;
    for (T& v : same.at) v = *x;
    return same;
  }
  bool aligned() const { return single || all_aligned(x); }
};

// y[i] = result(a[i], b[i], gy[i]). With packs the last n % size elements are done one by one.
template <Want want, class F, class T>
__global__ void binary_dense(unsigned n, unsigned packs, F f, Input<T> a, Input<T> b, Input<T> gy, T* y) {
  for (unsigned p = first_item(); p < packs; p += item_step()) {
    const Pack<T> pa = a.pack(p), pb = b.pack(p), pg = want == Want::forward ? pa : gy.pack(p);
    Pack<T> py;
    for (int k = 0; k < Pack<T>::size; ++k) py.at[k] = result<want>(f, pa.at[k], pb.at[k], pg.at[k]);
    store_pack(y + p * Pack<T>::size, py);
  }
  for (unsigned i = packs * Pack<T>::size + first_item(); i < n; i += item_step())
    y[i] = result<want>(f, a.element(i), b.element(i), want == Want::forward ? T(0) : gy.element(i));
}

template <Want want, class F, class T>
__global__ void binary_strided(unsigned n, F f, Strided<2> walk, const T* a, const T* b, Input<T> gy, T* y) {
  for (unsigned i = first_item(); i < n; i += item_step()) {
    const auto places = walk.places(i);
    y[i] = result<want>(f, a[places.at[0]], b[places.at[1]], want == Want::forward ? T(0) : gy.element(i));
  }
}

template <Want want, class F, class T>
void binary(Cuda& cuda, const char* name, const F& f, const Walk<2>& walk, const T* a, const T* b, Input<T> gy, T* y) {
  const i64 n = items(walk);
  if (n == 0) return;
  const auto steps = [&](int k) { return walk.row_stride(k); };
  if (walk.rank == 1 && steps(0) <= 1 && steps(1) <= 1) {
    const Input<T> ia{a, steps(0) == 0}, ib{b, steps(1) == 0};
    const bool packed = ia.aligned() && ib.aligned() && gy.aligned() && all_aligned(y);
    const i64 packs = packed ? n / Pack<T>::size : 0;
    launch(cuda, name, binary_dense<want, F, T>, grid_for(cuda, packs > 0 ? packs : n), static_cast<unsigned>(n),
           static_cast<unsigned>(packs), f, ia, ib, gy, y);
  } else {
    launch(cuda, name, binary_strided<want, F, T>, grid_for(cuda, n), static_cast<unsigned>(n), f, Strided<2>(walk), a, b, gy, y);
  }
}

// kept, gy → gx, or x → y.
template <bool forward, class F, class T>
MICA_DEVICE T unary_result(const F& f, T x, T gy) {
  if constexpr (forward) return f.template forward<true>(x);
  else return f.template grad<true>(x, gy);
}

template <bool forward, class F, class T>
__global__ void unary_dense(unsigned n, unsigned packs, F f, const T* x, const T* gy, T* y) {
  for (unsigned p = first_item(); p < packs; p += item_step()) {
    const Pack<T> px = load_pack(x + p * Pack<T>::size), pg = forward ? px : load_pack(gy + p * Pack<T>::size);
    Pack<T> py;
    for (int k = 0; k < Pack<T>::size; ++k) py.at[k] = unary_result<forward>(f, px.at[k], pg.at[k]);
    store_pack(y + p * Pack<T>::size, py);
  }
  for (unsigned i = packs * Pack<T>::size + first_item(); i < n; i += item_step())
    y[i] = unary_result<forward>(f, x[i], forward ? T(0) : gy[i]);
}

template <bool forward, class F, class T>
void unary(Cuda& cuda, const char* name, const F& f, i64 n, const T* x, const T* gy, T* y) {
  if (n == 0) return;
  const i64 packs = all_aligned(x, gy, y) ? n / Pack<T>::size : 0;
  launch(cuda, name, unary_dense<forward, F, T>, grid_for(cuda, packs > 0 ? packs : n), static_cast<unsigned>(n),
         static_cast<unsigned>(packs), f, x, gy, y);
}

}  // namespace

template <class F, class T>
void binary_forward(Cuda& cuda, const F& f, int rank, const Sizes& sizes, const Sizes& a_strides, const T* a,
                    const Sizes& b_strides, const T* b, T* y) {
  binary<Want::forward>(cuda, "binary_forward", f, Walk<2>(rank, sizes, {a_strides, b_strides}), a, b, Input<T>{a, true}, y);
}

template <class F, class T>
void binary_backward(Cuda& cuda, const F& f, int rank, const Sizes& sizes, const Sizes& a_strides, const T* a,
                     const Sizes& b_strides, const T* b, bool one_gy, const T* gy, T* ga, T* gb) {
  const Walk<2> walk(rank, sizes, {a_strides, b_strides});
  if (ga) binary<Want::grad_a>(cuda, "binary_backward", f, walk, a, b, Input<T>{gy, one_gy}, ga);
  if (gb) binary<Want::grad_b>(cuda, "binary_backward", f, walk, a, b, Input<T>{gy, one_gy}, gb);
}

template <class F, class T>
void unary_forward(Cuda& cuda, const F& f, i64 n, const T* x, T* y) {
  unary<true>(cuda, "unary_forward", f, n, x, static_cast<const T*>(nullptr), y);
}

template <class F, class T>
void unary_backward(Cuda& cuda, const F& f, i64 n, const T* kept, const T* gy, T* gx) {
  unary<false>(cuda, "unary_backward", f, n, kept, gy, gx);
}

#define MICA_BINARY(F, T)                                                                                               \
  template void binary_forward(Cuda&, const F&, int, const Sizes&, const Sizes&, const T*, const Sizes&, const T*, T*); \
  template void binary_backward(Cuda&, const F&, int, const Sizes&, const Sizes&, const T*, const Sizes&, const T*,     \
                                bool, const T*, T*, T*);
#define MICA_UNARY(F, T)                                           \
  template void unary_forward(Cuda&, const F&, i64, const T*, T*); \
  template void unary_backward(Cuda&, const F&, i64, const T*, const T*, T*);
#define MICA_FLOATING(T) MICA_EVERY_BINARY(MICA_BINARY, T) MICA_EVERY_UNARY(MICA_UNARY, T)
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
