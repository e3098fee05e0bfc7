// Warp functions: every lane of the mask brings a value, the last to come computes what each receives.
#include "multiprocessor.h"
#include "tensor_core.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace emulator {
namespace {

constexpr unsigned warp_size = 32;

unsigned combined(WarpFunction function, unsigned a, unsigned b) {
  switch (function) {
    case WarpFunction::add:
      return a + b;
    case WarpFunction::minimum:
      return std::min(a, b);
    case WarpFunction::maximum:
      return std::max(a, b);
    case WarpFunction::bit_and:
      return a & b;
    case WarpFunction::bit_or:
      return a | b;
    default:
      return a ^ b;
  }
}

}  // namespace

std::uint64_t Multiprocessor::warp_function(WarpFunction function, unsigned mask, std::uint64_t value, int source, const Place& place) {
  Thread& self = *current_;
  const unsigned lane = self.number % warp_size, lanes = std::min(count_ - (self.number - lane), warp_size);
  Thread* const warp = &self - lane;
  unsigned& waiting = waiting_[self.number / warp_size];
  if (!(mask >> lane & 1)) fail("%s:%u: lane %u is not in its own mask %08x", place.file_name(), place.line(), lane, mask);
  if (lanes < warp_size && mask >> lanes)
    fail("%s:%u: mask %08x names lanes that the block does not have", place.file_name(), place.line(), mask);
  void*& tag = warp[std::countr_zero(mask)].tag;
  if (tsan::on && !(waiting & mask)) tag = shared_.fresh_tag();
  void* const own_tag = tag;
  self.function = function, self.mask = mask, self.given = value, self.source = source, self.place = place;
  self.state = State::in_warp_function;
  waiting |= 1u << lane;
  const bool orders = tsan::on && function == WarpFunction::sync;  // others exchange values, and promise no order of memory
  if (orders) tsan::release(own_tag);
  if ((waiting & mask) != mask) {
    wait();
  } else {
    waiting &= ~mask;
    complete(warp, self);
  }
  if (orders) tsan::acquire(own_tag);
  return self.received;
}

namespace {

// 2 to the power of an exponent, which a normal number has.
double power_of_two(int exponent) { return std::bit_cast<double>(static_cast<std::uint64_t>(1023 + exponent) << 52); }
int exponent(double x) { return static_cast<int>(std::bit_cast<std::uint64_t>(x) >> 52 & 0x7ff) - 1023; }

// d + Σ a[k]·b[k] as hardware has it (Fasi, Higham, Mikaitis, Pranesh, "Numerical behavior of NVIDIA tensor cores", 2021): the terms are brought
// to the exponent of the largest, where f32's bits and two more are kept, and what is cut off, there and from the sum, is not rounded.
float cut_sum(float d, const float* a, const float* b) {
  double terms[9] = {d}, largest = std::abs(static_cast<double>(d));
  for (int k = 0; k < 8; ++k) {
    terms[k + 1] = static_cast<double>(a[k]) * b[k];
    largest = std::max(largest, std::abs(terms[k + 1]));
  }
  bool number = true;  // std::max passes over what is none
  for (const double term : terms) number &= std::abs(term) <= largest;
  if (largest == 0 || !number || !std::isfinite(largest)) {
    double sum = 0;
    for (const double term : terms) sum += term;
    return static_cast<float>(sum);
  }
  const int lowest_bit = exponent(largest) - 25;
  const double scale = power_of_two(-lowest_bit);
  std::int64_t units = 0;
  for (const double term : terms) units += static_cast<std::int64_t>(term * scale);
  const double sum = static_cast<double>(units) * power_of_two(lowest_bit);
  const auto nearest = static_cast<float>(sum);
  return std::abs(nearest) > std::abs(sum) ? std::bit_cast<float>(std::bit_cast<unsigned>(nearest) - 1) : nearest;  // one nearer to zero
}

}  // namespace

// Operands lose their last 13 bits.
void Multiprocessor::tensor_product(Thread* warp) {
  const auto lane = [&](int number) -> TensorCoreLane& { return *reinterpret_cast<TensorCoreLane*>(warp[number].given); };
  const auto kept = [](float x) { return std::bit_cast<float>(std::bit_cast<unsigned>(x) & 0xffffe000u); };
  float a[16][8], b[8][8];  // b by columns
  for (int g = 0; g < 8; ++g)
    for (int t = 0; t < 4; ++t) {
      const TensorCoreLane& from = lane(4 * g + t);
      for (int i = 0; i < 4; ++i) a[g + i % 2 * 8][t + i / 2 * 4] = kept(from.a[i]);
      for (int i = 0; i < 2; ++i) b[g][t + i * 4] = kept(from.b[i]);
    }
  for (int g = 0; g < 8; ++g)
    for (int t = 0; t < 4; ++t)
      for (int i = 0; i < 4; ++i) {
        float& d = lane(4 * g + t).d[i];
        d = cut_sum(d, a[g + i / 2 * 8], b[2 * t + i % 2]);
      }
}

void Multiprocessor::complete(Thread* warp, Thread& last) {
  unsigned ballot = 0, result = last.function == WarpFunction::minimum || last.function == WarpFunction::bit_and ? ~0u : 0u;
  for (unsigned rest = last.mask; rest; rest &= rest - 1) {
    Thread& lane = warp[std::countr_zero(rest)];
    check_same(last, lane);
    if (lane.given) ballot |= rest & -rest;
    result = combined(last.function, result, static_cast<unsigned>(lane.given));
  }
  if (last.function == WarpFunction::tensor_product) tensor_product(warp);
  for (unsigned rest = last.mask; rest; rest &= rest - 1) {
    Thread& lane = warp[std::countr_zero(rest)];
    if (last.function == WarpFunction::shuffle && !(last.mask >> lane.source & 1))
      fail("%s:%u: lane %u shuffles from lane %d, which is not in mask %08x", last.place.file_name(), last.place.line(),
           lane.number % warp_size, lane.source, last.mask);
    lane.received = last.function == WarpFunction::shuffle  ? warp[lane.source].given
                    : last.function == WarpFunction::ballot ? ballot
                                                            : result;
    make_ready(lane);
  }
}

void Multiprocessor::check_same(Thread& last, Thread& other) {
  if (other.mask == last.mask && other.function == last.function && same_place(other.place, last.place)) return;
  fail("%s:%u and %s:%u: lanes of one warp disagree on the warp function or its mask (%08x, %08x)", last.place.file_name(),
       last.place.line(), other.place.file_name(), other.place.line(), last.mask, other.mask);
}

}  // namespace emulator
