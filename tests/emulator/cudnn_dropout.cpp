// The emulated cuDNN: dropout, by a generator of its own. The reserve space has a bit for each element, in words of 32 bits.
#include "cudnn_fake.h"

#include <cstring>

using namespace emulator;
using namespace emulator::cudnn;

namespace {

constexpr std::size_t state_bytes = 2 * sizeof(std::uint64_t);  // seed and number of calls, in device memory, so that replays advance it

Buffer states_of(const cudnnDropoutStruct& d, bool advances) { return {d.states, state_bytes, advances}; }

bool keeps(std::uint64_t key, std::size_t i, float p) {
  std::uint64_t z = (key ^ i) * 0xBF58476D1CE4E5B9u;  // splitmix64's mixer
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return double(z >> 11) * 0x1p-53 >= double(p);
}

}  // namespace

cudnnStatus_t cudnnDropoutGetStatesSize(cudnnHandle_t handle, std::size_t* size) {
  ENTER();
  NEED(handle, bad_param);
  NEED(size, bad_param);
  *size = state_bytes;
  return ok;
}

cudnnStatus_t cudnnDropoutGetReserveSpaceSize(cudnnTensorDescriptor_t x, std::size_t* size) {
  ENTER();
  NEED(x && size, bad_param);
  *size = x->set ? (extent(*x) + 31) / 32 * 4 : 0;
  return ok;
}

cudnnStatus_t cudnnSetDropoutDescriptor(cudnnDropoutDescriptor_t d, cudnnHandle_t handle, float p, void* states, std::size_t size,
                                        unsigned long long seed) {
  ENTER();
  NEED(d && handle, bad_param);
  NEED(p >= 0 && p < 1, bad_param);
  NEED(states && size >= state_bytes, bad_param);
  *d = {true, p, static_cast<std::uint64_t*>(states), seed};
  return run(handle, __func__, {states_of(*d, true)}, [s = d->states, seed] { s[0] = seed, s[1] = 0; });
}

cudnnStatus_t cudnnRestoreDropoutDescriptor(cudnnDropoutDescriptor_t d, cudnnHandle_t handle, float p, void* states, std::size_t size,
                                            unsigned long long seed) {
  ENTER();
  NEED(d && handle, bad_param);
  NEED(p >= 0 && p < 1, bad_param);
  NEED(states && size >= state_bytes, bad_param);
  *d = {true, p, static_cast<std::uint64_t*>(states), seed};
  return ok;
}

namespace {

cudnnStatus_t check(const char* function, cudnnHandle_t handle, cudnnDropoutDescriptor_t d, cudnnTensorDescriptor_t from,
                    cudnnTensorDescriptor_t to, std::size_t reserve_bytes) {
  std::size_t need = 0;
  NEED_IN(function, handle, bad_param);
  NEED_IN(function, set(d) && set(from, to), bad_param);
  NEED_IN(function, same_dims(from, to), bad_param);
  PASS(cudnnDropoutGetReserveSpaceSize(from, &need));
  NEED_IN(function, reserve_bytes >= need, bad_param);
  NEED_IN(function, same_floating(from, to), not_supported);
  return ok;
}

}  // namespace

cudnnStatus_t cudnnDropoutForward(cudnnHandle_t handle, cudnnDropoutDescriptor_t d, cudnnTensorDescriptor_t xd, const void* xp,
                                  cudnnTensorDescriptor_t yd, void* yp, void* reserve, std::size_t reserve_bytes) {
  ENTER();
  NEED(given(xp, yp, reserve), bad_param);
  PASS(check(__func__, handle, d, xd, yd, reserve_bytes));
  return run(handle, __func__, {read(xd, xp), written(yd, yp), {reserve, reserve_bytes, true}, states_of(*d, true)},
             [=, xd = *xd, yd = *yd, p = d->p, state = d->states, mask = static_cast<std::uint8_t*>(reserve)] {
               by_type(xd.type, [&](auto t) {
                 using T = decltype(t);
                 const View<T> x(xd, xp), y(yd, yp);
                 const std::uint64_t key = state[0] + 0x9E3779B97F4A7C15u * ++state[1];
                 std::memset(mask, 0, reserve_bytes);
                 x.each([&](int n, int c, int h, int w) {
                   const std::size_t i = offset(xd, n, c, h, w);
                   const bool keep = keeps(key, i, p);
                   mask[i / 8] = static_cast<std::uint8_t>(mask[i / 8] | (keep << i % 8));
                   y(n, c, h, w) = keep ? static_cast<T>(x.at(n, c, h, w) / (1 - double(p))) : T(0);
                 });
               });
             });
}

cudnnStatus_t cudnnDropoutBackward(cudnnHandle_t handle, cudnnDropoutDescriptor_t d, cudnnTensorDescriptor_t gyd, const void* gyp,
                                   cudnnTensorDescriptor_t gxd, void* gxp, void* reserve, std::size_t reserve_bytes) {
  ENTER();
  NEED(given(gyp, gxp, reserve), bad_param);
  PASS(check(__func__, handle, d, gyd, gxd, reserve_bytes));
  return run(handle, __func__, {read(gyd, gyp), written(gxd, gxp), {reserve, reserve_bytes}},
             [=, gyd = *gyd, gxd = *gxd, p = d->p, mask = static_cast<const std::uint8_t*>(reserve)] {
               by_type(gyd.type, [&](auto t) {
                 using T = decltype(t);
                 const View<T> gy(gyd, gyp), gx(gxd, gxp);
                 gy.each([&](int n, int c, int h, int w) {
                   const std::size_t i = offset(gyd, n, c, h, w);
                   gx(n, c, h, w) = mask[i / 8] >> i % 8 & 1 ? static_cast<T>(gy.at(n, c, h, w) / (1 - double(p))) : T(0);
                 });
               });
             });
}
