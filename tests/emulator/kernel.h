// CPU emulation of the CUDA execution model: one fiber per CUDA thread, blocks one after another.
#pragma once
#include <cuda_runtime.h>
#include "emulator.h"
#include <sys/mman.h>
#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define EMU_ASAN(...) __VA_ARGS__
#else
#define EMU_ASAN(...)
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#include <sys/syscall.h>
#include <unistd.h>
#define EMU_TSAN(...) __VA_ARGS__
#define EMU_IS_TSAN 1
#else
#define EMU_TSAN(...)
#define EMU_IS_TSAN 0
#endif
#define EMU_NS __attribute__((no_sanitize("thread")))  // shim internals: invisible to TSan
#ifdef EMU_UCONTEXT
#include <ucontext.h>
#endif
#define __launch_bounds__(...)

namespace emulator {
enum Order { FORWARD, REVERSE, RANDOM };
struct Config { Order order = FORWARD; unsigned seed = 1; size_t smem_limit = 48 << 10, stack = (EMU_IS_TSAN ? 128 : 64) << 10; };
inline Config config;
struct Stats { uint64_t launches = 0, blocks = 0, threads = 0, switches = 0; };
inline Stats stats;
struct Error : std::runtime_error { using runtime_error::runtime_error; };
struct Loc { const char* file; int line; bool operator==(const Loc& o) const { return line == o.line && !strcmp(file, o.file); } };
#define EMU_LOC emulator::Loc loc = {__builtin_FILE(), __builtin_LINE()}
enum State { READY, BARRIER, WARP, DONE };
enum Op { SYNC, SHFL, BALLOT, ADD, MIN, MAX, AND, OR, XOR };
struct Fiber {
  void* sp = nullptr; char* stack = nullptr; void *fake = nullptr, *tsan = nullptr;
  uint3 tid{}; unsigned lin = 0; State state = DONE; bool started = false; char* tag = nullptr;
  Op op = SYNC; unsigned mask = 0; int src = 0; uint64_t val = 0, res = 0; Loc loc{"", 0};
#ifdef EMU_UCONTEXT
  ucontext_t uc;
#endif
};
struct Shared { const void* key; void *raw, *p; };
struct Worker {
  Fiber *cur = nullptr, *f = nullptr, pool[EMU_IS_TSAN ? 2048 : 1024]; unsigned n = 0, cap = 0; uint3 bid{}; dim3 bdim, gdim;
  unsigned waiting[32]; void (*fn)(void*) = nullptr; void* arg = nullptr;
  Shared sh[64]; unsigned nsh = 0; size_t smem = 0, dyn_bytes = 0; void* dyn = nullptr;
  void *sp = nullptr, *fake = nullptr, *tsan = nullptr; const void* stk = nullptr; size_t stk_n = 0;
  unsigned spins = 0; std::string err; uint64_t rng = 1; unsigned perm[32], lanes[32]; char* tag = nullptr; char *arena = nullptr, *arena_end = nullptr; std::vector<char*> arenas;
#ifdef EMU_UCONTEXT
  ucontext_t uc;
#endif
};
inline Worker worker;  // single OS thread by design: deterministic; use ctest -j for parallelism
static Worker* const W = &worker;

#ifndef EMU_UCONTEXT  // x86-64 System V switch: save callee-saved registers, swap stacks
__attribute__((naked, noinline, weak, no_sanitize("thread", "address", "undefined"))) void ctx_switch(void**, void*) {
  asm("push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15; mov %rsp,(%rdi); mov %rsi,%rsp;"
      "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp; ret");
}
#endif
EMU_NS inline void to_scheduler() {  // from a fiber
  Fiber* me = W->cur;
  EMU_ASAN(__sanitizer_start_switch_fiber(&me->fake, W->stk, W->stk_n);)
  EMU_TSAN(__tsan_switch_to_fiber(W->tsan, __tsan_switch_to_fiber_no_sync);)
#ifdef EMU_UCONTEXT
  swapcontext(&me->uc, &W->uc);
#else
  ctx_switch(&me->sp, W->sp);
#endif
  EMU_ASAN(__sanitizer_finish_switch_fiber(me->fake, nullptr, nullptr);)
}
EMU_NS inline void entry() {
  EMU_ASAN(__sanitizer_finish_switch_fiber(nullptr, &W->stk, &W->stk_n);)
  for (;;) {
    W->fn(W->arg);
    EMU_TSAN(__tsan_release(W);)
    W->cur->state = DONE;
    to_scheduler();
  }
}
EMU_NS inline void resume(Fiber& f) {
  W->cur = &f; ++stats.switches;
  EMU_ASAN(__sanitizer_start_switch_fiber(&W->fake, f.stack, config.stack);)
  EMU_TSAN(__tsan_switch_to_fiber(f.tsan, f.started ? __tsan_switch_to_fiber_no_sync : 0); f.started = true;)
#ifdef EMU_UCONTEXT
  swapcontext(&W->uc, &f.uc);
#else
  ctx_switch(&W->sp, f.sp);
#endif
  EMU_ASAN(__sanitizer_finish_switch_fiber(W->fake, nullptr, nullptr);)
  W->cur = nullptr;
}
__attribute__((format(printf, 1, 2))) EMU_NS inline void fail(const char* fmt, ...) {
  char b[600]; va_list ap; va_start(ap, fmt); vsnprintf(b, sizeof b, fmt, ap); va_end(ap);
  char where[160] = "";
  if (Fiber* c = W->cur) snprintf(where, sizeof where, " [block (%u,%u,%u) thread (%u,%u,%u)]", W->bid.x, W->bid.y, W->bid.z, c->tid.x, c->tid.y, c->tid.z);
  W->err = std::string("cuda_emu: ") + b + where;
  if (W->cur) to_scheduler();  // never resumed
  throw Error(W->err);
}
EMU_NS inline void drop_stacks() {
  if (!W->cap) return;
  EMU_ASAN(__asan_unpoison_memory_region(W->pool[0].stack, W->cap * (config.stack + 4096) - 4096);)
  EMU_TSAN(for (unsigned i = 0; i < W->cap; ++i) __tsan_destroy_fiber(W->pool[i].tsan);)
  munmap(W->pool[0].stack - 4096, W->cap * (config.stack + 4096)); W->cap = 0;
}
EMU_NS inline void make_stacks(unsigned n) {
  drop_stacks();
  const size_t each = config.stack + 4096;  // guard page below every stack
  char* m = (char*)mmap(nullptr, n * each, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (m == MAP_FAILED) throw Error("cuda_emu: no memory for fiber stacks");
  W->cap = n;
  for (unsigned i = 0; i < n; ++i) {
    Fiber& f = W->pool[i]; mprotect(m + i * each, 4096, PROT_NONE);
    f.stack = m + i * each + 4096;
#ifdef EMU_UCONTEXT
    getcontext(&f.uc); f.uc.uc_stack.ss_sp = f.stack; f.uc.uc_stack.ss_size = config.stack; makecontext(&f.uc, entry, 0);
#else
    void** sp = (void**)(f.stack + config.stack - i % 32 * 128) - 1;  // staggered, or all stacks share a cache set
    *sp-- = nullptr; *sp = (void*)entry; f.sp = sp - 6;
#endif
    EMU_TSAN(f.tsan = __tsan_create_fiber(0);)
  }
}
EMU_NS inline char* shared_alloc(size_t n, size_t align) {  // fresh for every block, filled with NaN
  char* p;
#if EMU_IS_TSAN  // from a raw mapping: nothing here may look to TSan like an access; unmapped after the launch
  W->arena = (char*)(((uintptr_t)W->arena + align - 1) & -align);
  if (!W->arena || W->arena + n > W->arena_end) {
    W->arenas.push_back(W->arena = (char*)syscall(SYS_mmap, nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    W->arena_end = W->arena + (1 << 20);
  }
  p = W->arena; W->arena += n;
  for (size_t i = 0; i < n; ++i) ((volatile char*)p)[i] = char(0xFF);
#else
  if (posix_memalign((void**)&p, align, n)) abort();
  memset(p, 0xFF, n);
#endif
  return p;
}
EMU_NS inline void free_shared() {
  if (!EMU_IS_TSAN) for (unsigned i = 0; i < W->nsh; ++i) { EMU_ASAN(__asan_unpoison_memory_region(W->sh[i].raw, 8);) free(W->sh[i].raw); }
  W->nsh = 0;
}
EMU_NS inline void* shared_raw(const void* key, size_t bytes, size_t align) {
  for (unsigned i = 0; i < W->nsh; ++i) if (W->sh[i].key == key) return W->sh[i].p;
  if ((W->smem += bytes) > config.smem_limit || W->nsh == 64) fail("block uses %zu bytes of shared memory, limit %zu", W->smem, config.smem_limit);
  const size_t off = align < 16 ? 8 : 0;  // under-aligned on purpose: UBSan then sees a float4 cast that lacks alignas
  char* raw = shared_alloc(bytes + off, std::max<size_t>(align, 16));
  EMU_ASAN(__asan_poison_memory_region(raw, off);)
  W->sh[W->nsh++] = {key, raw, raw + off};
  return raw + off;
}
template <class T> EMU_NS inline T* shared(const void* key, size_t align = alignof(T)) { return (T*)shared_raw(key, sizeof(T), align); }
EMU_NS inline void* dyn_shared() { if (!W->dyn) fail("dynamic shared memory used but smem_bytes = 0"); return W->dyn; }

EMU_NS inline void stuck() {  // nobody can run and the barrier is not complete: say who waits where
  std::string s; char b[400]; unsigned done = 0; std::map<std::string, std::pair<unsigned, uint3>> g;
  for (unsigned i = 0; i < W->n; ++i) {
    Fiber& f = W->f[i]; if (f.state == DONE) { ++done; continue; }
    snprintf(b, sizeof b, f.state == BARRIER ? "__syncthreads %s:%d" : "warp op %s:%d mask %08x", f.loc.file, f.loc.line, f.mask);
    auto& e = g[b]; if (!e.first++) e.second = f.tid;
  }
  for (auto& [k, e] : g) { snprintf(b, sizeof b, "\n  %u threads, first (%u,%u,%u), wait at %s", e.first, e.second.x, e.second.y, e.second.z, k.c_str()); s += b; }
  fail("divergent barrier or deadlock in block (%u,%u,%u): %u of %u threads exited%s", W->bid.x, W->bid.y, W->bid.z, done, W->n, s.c_str());
}
EMU_NS inline uint64_t rnd() { uint64_t& x = W->rng; x ^= x << 13; x ^= x >> 7; x ^= x << 17; return x >> 8; }
template <class T> EMU_NS void shuffle(T* p, size_t n) { for (; n > 1; --n) { const size_t j = rnd() % n; const T t = p[j]; p[j] = p[n - 1]; p[n - 1] = t; } }
EMU_NS inline void run_block() {
  Worker& w = *W; ++stats.blocks; stats.threads += w.n;
  const unsigned sets = EMU_IS_TSAN ? 2 : 1;  // TSan: odd and even blocks use different fibers, so neighbouring blocks stay unordered
  if (w.cap < sets * w.n) make_stacks(sets * w.n);
  w.f = w.pool + (sets == 2 && stats.blocks % 2 ? w.cap / 2 : 0);
  std::fill_n(w.waiting, 32, 0u); w.nsh = w.spins = 0; w.smem = 0; w.dyn = nullptr;
  if (w.dyn_bytes) { w.dyn = shared_raw(&w.dyn, w.dyn_bytes, 16); }
  for (unsigned i = 0; i < w.n; ++i) { Fiber& f = w.f[i]; f.lin = i; f.started = false; f.state = READY; f.tid = {i % w.bdim.x, i / w.bdim.x % w.bdim.y, i / w.bdim.x / w.bdim.y}; }
  for (unsigned i = 0; i < 32; ++i) w.perm[i] = w.lanes[i] = config.order == REVERSE ? 31 - i : i;
  if (config.order == REVERSE) for (unsigned i = 0; i < (w.n + 31) / 32; ++i) w.perm[i] = (w.n + 31) / 32 - 1 - i;
  EMU_TSAN(w.tag = shared_alloc(8, 8);)
  for (;;) {  // each warp runs as far as it can alone before the next one starts: the harshest order for a missing barrier
    bool again = false;
    const unsigned nw = (w.n + 31) / 32;
    if (config.order == RANDOM) shuffle(w.perm, nw), shuffle(w.lanes, 32);
    for (unsigned k = 0; k < nw; ++k) for (bool any = true; any;) {
      any = false;
      for (unsigned l : w.lanes) { const unsigned i = w.perm[k] * 32 + l;
        if (i < w.n && w.f[i].state == READY) { any = true; resume(w.f[i]); if (!w.err.empty()) throw Error(w.err); } }
      if (any && config.order == RANDOM && rnd() % 4 == 0) { again = true; break; }
    }
    if (again) continue;
    unsigned done = 0, at = 0, n = 0, all = 1, some = 0; Loc* l = nullptr;
    for (unsigned i = 0; i < w.n; ++i) { Fiber& f = w.f[i];
      if (f.state == DONE) ++done;
      else if (f.state == BARRIER && (!l || *l == f.loc)) { l = &f.loc; ++at; n += f.val != 0; all &= f.val != 0; some |= f.val != 0; } }
    if (done == w.n) break;
    if (at != w.n) stuck();
    EMU_TSAN(w.tag = shared_alloc(8, 8);)
    for (unsigned i = 0; i < w.n; ++i) { w.f[i].state = READY; w.f[i].res = n | uint64_t(all) << 32 | uint64_t(some) << 33; }
  }
  free_shared();
}
// ---- device memory registry ----
inline std::map<char*, size_t> allocs;
struct DeviceAccess {  // under ASan device memory is poisoned for host code outside launches and memcpys
  DeviceAccess() { EMU_ASAN(for (auto& [p, n] : allocs) __asan_unpoison_memory_region(p, n);) }
  ~DeviceAccess() { EMU_ASAN(for (auto& [p, n] : allocs) __asan_poison_memory_region(p, n);) }
};
inline bool is_device(const void* p) { auto i = allocs.upper_bound((char*)p); return i != allocs.begin() && (--i, (char*)p < i->first + i->second); }
template <class T> void check_arg(const T& v, int i) { if constexpr (std::is_pointer_v<T>) if (v && !is_device((const void*)v)) throw Error("cuda_emu: kernel argument " + std::to_string(i) + " is not a device pointer"); }
EMU_NS inline void run_grid(dim3 g, dim3 b, size_t smem, void (*fn)(void*), void* arg) {
  Worker& w = *W; const uint64_t nb = uint64_t(g.x) * g.y * g.z; w.n = b.x * b.y * b.z; ++stats.launches;
  if (!nb || g.x > 0x7fffffffu || g.y > 65535 || g.z > 65535 || !w.n || b.x > 1024 || b.y > 1024 || b.z > 64 || w.n > 1024) throw Error("cuda_emu: invalid launch configuration");
  if (smem > config.smem_limit) throw Error("cuda_emu: dynamic shared memory over the limit");
  w.gdim = g; w.bdim = b; w.dyn_bytes = smem; w.fn = fn; w.arg = arg; w.err.clear(); w.rng = config.seed * 0x9E3779B97F4A7C15ull | 1;
  EMU_TSAN(w.tsan = __tsan_get_current_fiber();)
  std::vector<uint64_t> order;
  if (config.order == RANDOM) { order.resize(nb); std::iota(order.begin(), order.end(), 0); shuffle(order.data(), nb); }
  DeviceAccess access;
  try {
    for (uint64_t k = 0; k < nb; ++k) {
      uint64_t i = config.order == RANDOM ? order[k] : config.order == REVERSE ? nb - 1 - k : k;
      w.bid = {unsigned(i % g.x), unsigned(i / g.x % g.y), unsigned(i / g.x / g.y)};
      run_block();
    }
  } catch (...) { w.cur = nullptr; drop_stacks(); free_shared(); throw; }
  EMU_TSAN(__tsan_acquire(W); for (char* p : w.arenas) munmap(p, 1 << 20); w.arenas.clear(); w.arena = w.arena_end = nullptr;)
}
EMU_NS inline uint3 tid() { return W->cur->tid; }
EMU_NS inline uint3 bid() { return W->bid; }
EMU_NS inline dim3 bdim() { return W->bdim; }
EMU_NS inline dim3 gdim() { return W->gdim; }
EMU_NS inline uint64_t barrier(uint64_t v, Loc loc) {
  Fiber& me = *W->cur; me.state = BARRIER; me.loc = loc; me.val = v;
  EMU_TSAN(char* tag = W->tag; __tsan_release(tag);)  // a new tag per barrier: a thread already at the next one must not count
  to_scheduler();
  EMU_TSAN(__tsan_acquire(tag);)
  return me.res;
}
EMU_NS inline uint64_t warp_op(Op op, unsigned mask, uint64_t v, int src, Loc loc) {
  Fiber& me = *W->cur; const unsigned lane = me.lin & 31; Fiber* base = W->f + (me.lin - lane); unsigned& wait = W->waiting[me.lin / 32];
  if (!(mask >> lane & 1)) fail("%s:%d: lane %u is not in its own mask %08x", loc.file, loc.line, lane, mask);
  if (W->n - (me.lin - lane) < 32 && mask >> (W->n - (me.lin - lane))) fail("%s:%d: mask %08x names lanes the block does not have", loc.file, loc.line, mask);
  EMU_TSAN(char*& slot = base[__builtin_ctz(mask)].tag; if (!(wait & mask)) slot = shared_alloc(8, 8); char* tag = slot;)
  me.op = op; me.mask = mask; me.val = v; me.src = src; me.loc = loc; me.state = WARP; wait |= 1u << lane;
  EMU_TSAN(if (op == SYNC) __tsan_release(tag);)
  if ((wait & mask) != mask) to_scheduler();
  else {
    wait &= ~mask; unsigned ballot = 0; uint32_t r = op == MIN || op == AND ? ~0u : 0;
    for (unsigned m = mask; m; m &= m - 1) { Fiber& f = base[__builtin_ctz(m)];
      if (f.mask != mask || f.op != op || !(f.loc == loc)) fail("%s:%d and %s:%d: lanes of one warp disagree on the collective or its mask (%08x, %08x)", loc.file, loc.line, f.loc.file, f.loc.line, mask, f.mask);
      uint32_t x = uint32_t(f.val); if (f.val) ballot |= 1u << (f.lin & 31);
      r = op == ADD ? r + x : op == MIN ? std::min(r, x) : op == MAX ? std::max(r, x) : op == AND ? r & x : op == OR ? r | x : r ^ x; }
    for (unsigned m = mask; m; m &= m - 1) { Fiber& f = base[__builtin_ctz(m)]; f.state = READY;
      if (op == SHFL && !(mask >> f.src & 1)) fail("%s:%d: lane %u shuffles from lane %d, which is not in mask %08x", loc.file, loc.line, f.lin & 31, f.src, mask);
      f.res = op == SHFL ? base[f.src].val : op == BALLOT ? ballot : r; }
  }
  EMU_TSAN(if (op == SYNC) __tsan_acquire(tag);)
  return me.res;
}
template <class T> EMU_NS T shfl(unsigned mask, T v, int src, Loc loc) {
  static_assert(sizeof(T) <= 8); uint64_t u = 0; memcpy(&u, &v, sizeof v); u = warp_op(SHFL, mask, u, src, loc); memcpy(&v, &u, sizeof v); return v;
}
EMU_NS inline void preempt() {  // atomics: the only places a fiber can lose the CPU without a barrier
  if (++W->spins > 1u << 26) fail("no progress after 2^26 atomics in one block: spin-wait on a block that is not running?");
  if (config.order == RANDOM ? rnd() % 4 == 0 : W->spins % 4096 == 0) to_scheduler();
}
template <class T> EMU_NS T atomic_rmw(T* p, T v, T (*op)(T, T)) {
  using U = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>; U o, n; T t; preempt();
  do { o = __atomic_load_n((U*)p, __ATOMIC_RELAXED); memcpy(&t, &o, sizeof t); T r = op(t, v); memcpy(&n, &r, sizeof r); }
  while (!__atomic_compare_exchange_n((U*)p, &o, n, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return t;
}
inline char fence_tag;
}  // namespace emulator
#define threadIdx (emulator::tid())
#define blockIdx (emulator::bid())
#define blockDim (emulator::bdim())
#define gridDim (emulator::gdim())
constexpr int warpSize = 32;
#define MICA_SHARED(T, name, dims) static char emu_key_##name; auto& name = *emulator::shared<T dims>(&emu_key_##name)
#define MICA_SHARED_ALIGNED(A, T, name, dims) static char emu_key_##name; auto& name = *emulator::shared<T dims>(&emu_key_##name, A)
#define MICA_SHARED_DYNAMIC(T, name) T* name = (T*)emulator::dyn_shared()
inline void __syncthreads(EMU_LOC) { emulator::barrier(0, loc); }
inline int __syncthreads_count(int p, EMU_LOC) { return int(uint32_t(emulator::barrier(p != 0, loc))); }
inline int __syncthreads_and(int p, EMU_LOC) { return emulator::barrier(p != 0, loc) >> 32 & 1; }
inline int __syncthreads_or(int p, EMU_LOC) { return emulator::barrier(p != 0, loc) >> 33 & 1; }
inline void __syncwarp(unsigned m = ~0u, EMU_LOC) { emulator::warp_op(emulator::SYNC, m, 0, 0, loc); }
inline unsigned __ballot_sync(unsigned m, int p, EMU_LOC) { return unsigned(emulator::warp_op(emulator::BALLOT, m, p != 0, 0, loc)); }
inline int __any_sync(unsigned m, int p, EMU_LOC) { return emulator::warp_op(emulator::BALLOT, m, p != 0, 0, loc) != 0; }
inline int __all_sync(unsigned m, int p, EMU_LOC) { return emulator::warp_op(emulator::BALLOT, m, p != 0, 0, loc) == m; }
inline unsigned __activemask() { emulator::fail("__activemask is not emulated"); return 0; }
#define EMU_LANE int(emulator::worker.cur->lin & 31)
template <class T> EMU_NS T __shfl_sync(unsigned m, T v, int s, int w = 32, EMU_LOC) { return emulator::shfl(m, v, (EMU_LANE & ~(w - 1)) | (s & (w - 1)), loc); }
template <class T> EMU_NS T __shfl_xor_sync(unsigned m, T v, int x, int w = 32, EMU_LOC) { int l = EMU_LANE, s = l ^ x; return emulator::shfl(m, v, s >= (l & ~(w - 1)) + w ? l : s, loc); }
template <class T> EMU_NS T __shfl_down_sync(unsigned m, T v, unsigned d, int w = 32, EMU_LOC) { int l = EMU_LANE, s = l + int(d); return emulator::shfl(m, v, s >= (l & ~(w - 1)) + w ? l : s, loc); }
template <class T> EMU_NS T __shfl_up_sync(unsigned m, T v, unsigned d, int w = 32, EMU_LOC) { int l = EMU_LANE, s = l - int(d); return emulator::shfl(m, v, s < (l & ~(w - 1)) ? l : s, loc); }
inline unsigned __reduce_add_sync(unsigned m, unsigned v, EMU_LOC) { return unsigned(emulator::warp_op(emulator::ADD, m, v, 0, loc)); }
inline unsigned __reduce_min_sync(unsigned m, unsigned v, EMU_LOC) { return unsigned(emulator::warp_op(emulator::MIN, m, v, 0, loc)); }
inline unsigned __reduce_max_sync(unsigned m, unsigned v, EMU_LOC) { return unsigned(emulator::warp_op(emulator::MAX, m, v, 0, loc)); }
template <class T> T atomicAdd(T* p, std::common_type_t<T> v) { return emulator::atomic_rmw<T>(p, v, [](T a, T b) { return T(a + b); }); }
template <class T> T atomicMax(T* p, std::common_type_t<T> v) { return emulator::atomic_rmw<T>(p, v, [](T a, T b) { return a < b ? b : a; }); }
template <class T> T atomicMin(T* p, std::common_type_t<T> v) { return emulator::atomic_rmw<T>(p, v, [](T a, T b) { return b < a ? b : a; }); }
template <class T> T atomicExch(T* p, std::common_type_t<T> v) { return emulator::atomic_rmw<T>(p, v, [](T, T b) { return b; }); }
template <class T> T atomicCAS(T* p, std::common_type_t<T> c, std::common_type_t<T> v) { emulator::preempt(); __atomic_compare_exchange_n(p, &c, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED); return c; }
inline void __threadfence() { EMU_TSAN(__tsan_acquire(&emulator::fence_tag); __tsan_release(&emulator::fence_tag);) }
inline void __threadfence_block() { __threadfence(); }
template <class T> T __ldg(const T* p) { return *p; }
template <class A, class B> constexpr std::common_type_t<A, B> min(A a, B b) { return b < a ? b : a; }
template <class A, class B> constexpr std::common_type_t<A, B> max(A a, B b) { return a < b ? b : a; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __float_as_int(float f) { int i; memcpy(&i, &f, 4); return i; }
inline float __int_as_float(int i) { float f; memcpy(&f, &i, 4); return f; }
#define __expf(x) expf(x)  // macros: glibc's math.h already declares __expf, __logf, __powf
#define __logf(x) logf(x)
#define __powf(x, y) powf(x, y)

namespace emulator {

// Submits a kernel as work of the stream: its blocks run, on fibres, when the stream gets that far.
template <class... P>
cudaError_t launch(cudaStream_t stream, const char* name, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, P... arguments) {
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (!grid.x || !grid.y || !grid.z || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535 || !threads || threads > 1024 || block.z > 64)
    return cudaErrorInvalidConfiguration;
  std::vector<Buffer> buffers;
  const auto note = [&](const auto& a) { if constexpr (std::is_pointer_v<std::decay_t<decltype(a)>>) if (a) buffers.push_back({a, 1}); };
  (note(arguments), ...);
  return enqueue(stream, name, std::move(buffers), [=] {
    auto body = [&] { kernel(arguments...); };
    run_grid(grid, block, shared_bytes, [](void* b) { (*static_cast<decltype(body)*>(b))(); }, &body);
  });
}

}  // namespace emulator
