#include "multiprocessor.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <map>
#include <utility>

namespace emulator {

bool same_place(const Place& a, const Place& b) {
  return a.line() == b.line() && (a.file_name() == b.file_name() || !std::strcmp(a.file_name(), b.file_name()));
}

Multiprocessor& multiprocessor() {
  static auto& one = *new Multiprocessor;
  return one;
}

// ---- grids and blocks ----

void Multiprocessor::run(const Kernel& kernel, const Turns& turns) {
  kernel_ = &kernel, turns_ = turns, random_ = Random(turns.seed);
  count_ = kernel.block.x * kernel.block.y * kernel.block.z, warps_ = (count_ + warp_size - 1) / warp_size;
  here.block_size = kernel.block, here.grid_size = kernel.grid;
  error_.clear();
  shared_.begin_launch(kernel.shared_limit);
  const std::uint64_t blocks = std::uint64_t{kernel.grid.x} * kernel.grid.y * kernel.grid.z;
  Permutation places(turns, blocks, random_);
  try {
    for (std::uint64_t i = 0; i < blocks; ++i) {
      const std::uint64_t place = places.next(), row = place / kernel.grid.x;
      here.block = {static_cast<unsigned>(place % kernel.grid.x), static_cast<unsigned>(row % kernel.grid.y),
                    static_cast<unsigned>(row / kernel.grid.y)};
      random_ = Random(turns.seed + place);
      run_block();
    }
  } catch (...) {
    abandon();
    throw;
  }
  tsan::acquire(this);
  shared_.end_launch();
}

void Multiprocessor::run_block() {
  begin_block();
  while (done_ < count_) {
    while (Thread* thread = handed_over_ ? std::exchange(handed_over_, nullptr) : next()) resume(*thread);
    if (done_ < count_) release_barrier();
  }
  if (const auto damage = shared_.damage())
    fail("in block (%u,%u,%u) a thread wrote %td bytes %s a shared variable of %zu bytes", here.block.x, here.block.y, here.block.z,
         damage->past_end >= 0 ? damage->past_end : -damage->past_end, damage->past_end >= 0 ? "past the end of" : "before the end of",
         damage->size);
}

void Multiprocessor::begin_block() {
  ++blocks_;
  done_ = 0, atomics_ = 0;
  shared_.begin_block();
  if (tsan::on) barrier_tag_ = shared_.fresh_tag();
  for (unsigned i = 0; i < count_; ++i) {
    Thread& thread = threads_[i];
    thread.fibre = nullptr, thread.state = State::ready, thread.number = i;
    thread.index = {i % kernel_->block.x, i / kernel_->block.x % kernel_->block.y, i / kernel_->block.x / kernel_->block.y};
  }
  for (unsigned w = 0; w < warps_; ++w) {
    const unsigned lanes = std::min(count_ - w * warp_size, warp_size);
    ready_[w] = lanes == warp_size ? ~0u : (1u << lanes) - 1, waiting_[w] = 0;
  }
  begin_orders();
}

void Multiprocessor::begin_orders() {
  Permutation warps(turns_, warps_, random_), lanes(turns_, warp_size, random_);
  for (unsigned w = 0; w < warps_; ++w) warp_order_[w] = static_cast<unsigned>(warps.next());
  for (unsigned& lane : lane_order_) lane = static_cast<unsigned>(lanes.next());
  turn_ = lane_ = 0;
}

// A thread that can go on; null when all wait at a barrier or are done.
Thread* Multiprocessor::next() {
  for (unsigned without = 0; without < warps_;) {
    const unsigned warp = warp_order_[turn_];
    const bool interrupted = lane_ == warp_size && turns_.order == Order::random && random_.one_in(4);
    if (lane_ == warp_size) lane_ = 0;
    if (ready_[warp] == 0 || interrupted) {
      without = ready_[warp] == 0 ? without + 1 : 0;
      turn_ = (turn_ + 1) % warps_;
      continue;
    }
    while (lane_ < warp_size)
      if (const unsigned lane = lane_order_[lane_++]; ready_[warp] >> lane & 1) return &threads_[warp * warp_size + lane];
  }
  return nullptr;
}

// ---- threads ----

void Multiprocessor::fibre_body() {
  Multiprocessor& self = multiprocessor();
  for (;;) {
    self.kernel_->body(self.kernel_->arguments);
    tsan::release(&self);
    Thread& thread = *self.current_;
    thread.state = State::done;
    self.ready_[thread.number / warp_size] &= ~(1u << thread.number % warp_size);
    ++self.done_;
    Thread* const next = tsan::on ? nullptr : self.next();
    if (next && !next->fibre) {
      next->fibre = std::exchange(thread.fibre, nullptr);
      self.make_current(*next);
      continue;
    }
    if (!tsan::on) self.idle_.push_back(thread.fibre);
    self.handed_over_ = next;
    Fibre::give_way();
  }
}

void Multiprocessor::give_fibre(Thread& thread) {
  if (tsan::on) {  // odd and even blocks use different ones, or neighbours would be ordered by them
    const std::size_t i = blocks_ % 2 * most_threads + thread.number;
    if (fibres_.size() < 2 * most_threads) fibres_.resize(2 * most_threads);
    if (!fibres_[i]) fibres_[i] = std::make_unique<Fibre>(&fibre_body);
    thread.fibre = fibres_[i].get();
    return;
  }
  if (idle_.empty()) {
    idle_.reserve(most_threads);
    idle_.push_back(fibres_.emplace_back(std::make_unique<Fibre>(&fibre_body)).get());
  }
  thread.fibre = idle_.back();
  idle_.pop_back();
}

void Multiprocessor::make_current(Thread& thread) {
  current_ = &thread;
  here.thread = thread.index, here.number = thread.number;
}

void Multiprocessor::resume(Thread& thread) {
  const bool first = !thread.fibre;
  if (first) give_fibre(thread);
  make_current(thread);
  thread.fibre->resume(first);
  if (!error_.empty()) throw KernelError(error_);
}

void Multiprocessor::wait() {
  ready_[current_->number / warp_size] &= ~(1u << current_->number % warp_size);
  Fibre::give_way();
}

void Multiprocessor::make_ready(Thread& thread) {
  thread.state = State::ready;
  ready_[thread.number / warp_size] |= 1u << thread.number % warp_size;
}

void Multiprocessor::before_atomic() {
  if (++atomics_ > 1u << 22) fail("no progress after 2^22 atomics in one block: does it wait for a block that is not running?");
  if (turns_.order == Order::random ? random_.one_in(4) : atomics_ % 4096 == 0) Fibre::give_way();
}

// ---- barriers ----

Multiprocessor::Votes Multiprocessor::barrier(bool vote, const Place& place) {
  Thread& self = *current_;
  self.state = State::at_barrier, self.place = place, self.given = vote;
  void* const tag = barrier_tag_;  // a new one for each barrier: a thread already at the next must not count
  if (tsan::on) tsan::release(tag);
  wait();
  if (tsan::on) tsan::acquire(tag);
  const auto votes = static_cast<unsigned>(self.received);
  return {votes, votes == count_, votes > 0};
}

void Multiprocessor::release_barrier() {
  unsigned votes = 0;
  for (unsigned i = 0; i < count_; ++i) {
    if (threads_[i].state != State::at_barrier || !same_place(threads_[i].place, threads_[0].place)) stuck();
    votes += threads_[i].given != 0;
  }
  if (tsan::on) barrier_tag_ = shared_.fresh_tag();
  for (unsigned i = 0; i < count_; ++i) threads_[i].received = votes, make_ready(threads_[i]);
  begin_orders();
}

// ---- shared memory ----

void* Multiprocessor::shared(const void* key, std::size_t bytes, std::size_t alignment) {
  void* const variable = shared_.variable(key, bytes, alignment);
  if (!variable) fail("the block uses %zu bytes of shared memory, and %zu is the limit", shared_.used(), shared_.most());
  return variable;
}

void* Multiprocessor::dynamic_shared() {
  if (kernel_->dynamic_bytes == 0) fail("the kernel uses dynamic shared memory, and the launch asked for none");
  return shared(&shared_, kernel_->dynamic_bytes, 16);
}

// ---- errors ----

void Multiprocessor::fail(const char* format, ...) {
  char text[700];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  error_ = text;
  if (Fibre::running()) {
    char where[120];
    std::snprintf(where, sizeof where, " [block (%u,%u,%u) thread (%u,%u,%u)]", here.block.x, here.block.y, here.block.z, here.thread.x,
                  here.thread.y, here.thread.z);
    error_ += where;
    Fibre::give_way();  // and never again here
  }
  throw KernelError(error_);
}

// Nobody can go on and the barrier is not complete: says who waits where.
void Multiprocessor::stuck() {
  std::map<std::string, std::pair<unsigned, uint3>> waiting;  // how many, and the first
  char text[400];
  for (unsigned i = 0; i < count_; ++i) {
    const Thread& thread = threads_[i];
    if (thread.state == State::done) continue;
    if (thread.state == State::at_barrier)
      std::snprintf(text, sizeof text, "__syncthreads, %s:%u", thread.place.file_name(), thread.place.line());
    else
      std::snprintf(text, sizeof text, "a warp function with mask %08x, %s:%u", thread.mask, thread.place.file_name(), thread.place.line());
    auto& [n, first] = waiting[text];
    if (n++ == 0) first = thread.index;
  }
  std::string all;
  for (const auto& [what, who] : waiting) {
    const auto& [n, first] = who;
    std::snprintf(text, sizeof text, "\n  %u threads, the first (%u,%u,%u), wait at %s", n, first.x, first.y, first.z, what.c_str());
    all += text;
  }
  fail("divergent barrier or deadlock in block (%u,%u,%u): %u of %u threads have ended%s", here.block.x, here.block.y, here.block.z, done_,
       count_, all.c_str());
}

// After an error: the fibres stand anywhere.
void Multiprocessor::abandon() {
  fibres_.clear();
  idle_.clear();
  current_ = handed_over_ = nullptr;
  shared_.end_launch();
}

}  // namespace emulator
