// How emulated work is queued, ordered, captured and run.
#include "runtime.h"
#include <unistd.h>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace emulator {
namespace {

bool is_sticky(cudaError_t e) { return e == cudaErrorIllegalAddress || e == cudaErrorAssert || (e >= 714 && e <= 719); }

bool ready(const CUstream_st& s) {
  return !s.queue.empty() && std::none_of(s.queue.front().after.begin(), s.queue.front().after.end(), pending);
}

bool usable(const Work& work, const void* p, size_t bytes, bool device) {
  const Block* b = find(p, bytes);
  if (b && b->live && b->device == device) return true;
  report("'%s' ran with %p (%zu bytes), which is %s", work.name.c_str(), p, bytes, b && !b->live ? "freed memory" : "not device memory of that size");
  return false;
}

void perform(const Work& work) {
  Runtime& r = rt();
  if (r.sticky) return;  // a broken context runs nothing more
  r.sticky = work.injected;
  for (const Buffer& b : work.device) if (!r.sticky && !usable(work, b.p, b.bytes, true)) r.sticky = cudaErrorIllegalAddress;
  for (const HostUse& u : work.host) if (!r.sticky && !usable(work, u.p, u.bytes, false)) r.sticky = cudaErrorIllegalAddress;
  if (r.sticky) return;
  Access access;
  const char* outer = std::exchange(running, work.name.c_str());
  try {
    work.body();
  } catch (const std::exception& e) {  // the kernel emulator reports a divergent barrier and the like this way
    report("'%s' failed: %s", work.name.c_str(), e.what());
    r.sticky = cudaErrorLaunchFailure;
  }
  running = outer;
}

void run_head(CUstream_st& s) {
  const Work work = std::move(s.queue.front());
  s.queue.pop_front();
  let_go(work.host);
  perform(work);
  ++s.done;
}

void wander() {  // the device gets ahead of what the host asked for, on whatever stream
  while (rt().options.schedule == Schedule::random && rt().random() % 2) {
    std::vector<CUstream_st*> candidates;
    for (auto& s : rt().streams.all) if (ready(*s)) candidates.push_back(s.get());
    if (candidates.empty()) return;
    run_head(*candidates[rt().random() % candidates.size()]);
  }
}

void report_leaks() {  // at exit, like LeakSanitizer
  if (rt().sticky) return;  // in a broken context nothing can be freed
  bool leaked = report_leaked_blocks();
  const auto count = [&](const char* kind, long n) { if (n) report("leak: %ld %s", n, kind), leaked = true; };
  count("stream(s)", rt().streams.alive() - 1);  // not the legacy one
  count("event(s)", rt().events.alive());
  count("graph(s)", rt().graphs.alive());
  count("executable graph(s)", rt().execs.alive());
  for (const auto& [kind, n] : rt().live) count(kind.c_str(), n);
  if (leaked) fflush(nullptr), _exit(23);
}
// Registered before the first ordinary static is constructed, so it runs after the last one is destroyed.
__attribute__((constructor(101))) void register_leak_report() { atexit(report_leaks); }

}  // namespace

Runtime::Runtime() {
  const char* env = getenv("EMULATOR_SCHEDULE");
  const std::string s = env ? env : "lazy";
  options.schedule = s == "eager" ? Schedule::eager : s == "lazy" ? Schedule::lazy : Schedule::random;
  if (s.starts_with("random:")) options.seed = unsigned(atoi(s.c_str() + 7));
  random.seed(options.seed);
  legacy->blocking = true;
}
Runtime& rt() { static Runtime& r = *new Runtime; return r; }  // outlives every static destructor

bool pending(const Marker& m) { return m.stream && m.stream->done < m.seq; }

void advance(const Marker& m) {
  CUstream_st* s = m.stream;
  while (!ready(*s)) {  // terminates: an operation waits only for operations submitted before it
    const auto& after = s->queue.front().after;
    s = std::find_if(after.begin(), after.end(), pending)->stream;
  }
  run_head(*s);
}

void complete(const Marker& m) {
  Access once;  // one change of protection for the whole batch
  while (pending(m)) advance(m), wander();
}

void run_graph(const std::vector<Node>& nodes) {  // any order the captured dependencies allow; latest first unless random
  std::vector<bool> done(nodes.size());
  for (size_t left = nodes.size(); left; --left) {
    std::vector<size_t> candidates;
    for (size_t i = 0; i < nodes.size(); ++i)
      if (!done[i] && std::all_of(nodes[i].after.begin(), nodes[i].after.end(), [&](size_t j) { return done[j]; })) candidates.push_back(i);
    const size_t i = rt().options.schedule == Schedule::random ? candidates[rt().random() % candidates.size()] : candidates.back();
    perform(nodes[i].work);
    done[i] = true;
  }
}

cudaError_t submit(CUstream_st& s, Work work) {
  if (s.capture) {
    if (!s.capture->valid) return cudaErrorStreamCaptureInvalidated;
    s.capture->nodes.push_back({std::move(work), std::exchange(s.tail, {s.capture->nodes.size()})});
    return cudaSuccess;
  }
  if (&s == rt().legacy) {
    if (const cudaError_t e = refuse_legacy_in_capture(work.name.c_str())) return e;
    for (auto& t : rt().streams.all) if (t->blocking && t.get() != &s) work.after.push_back(t->end());
  } else if (s.blocking) {
    work.after.push_back(rt().legacy->end());
  }
  hold(work.host);
  s.queue.push_back(std::move(work));
  ++s.issued;
  if (rt().options.schedule == Schedule::eager) complete(s.end());
  wander();
  return cudaSuccess;
}

cudaError_t invalidate(Capture& c, cudaError_t e, const char* what) {
  if (c.valid) report("%s is not allowed here: the capture is invalidated", what);
  c.valid = false;
  return e;
}
cudaError_t refuse_in_capture(const char* what) {
  cudaError_t e = cudaSuccess;
  for (auto& s : rt().streams.all)
    if (s->capture && !s->capture->relaxed && rt().thread_mode != cudaStreamCaptureModeRelaxed)
      e = invalidate(*s->capture, cudaErrorStreamCaptureUnsupported, what);
  return e;
}
cudaError_t refuse_legacy_in_capture(const char* what) {
  cudaError_t e = cudaSuccess;
  for (auto& s : rt().streams.all)
    if (s->capture && s->blocking) e = invalidate(*s->capture, cudaErrorStreamCaptureImplicit, what);
  return e;
}

void configure(const Options& o) { rt().options = o, rt().random.seed(o.seed); }
cudaError_t enqueue(cudaStream_t stream, const char* name, std::vector<Buffer> buffers, std::function<void()> body) {
  return on_stream(stream, [&](CUstream_st& s) {
    const cudaError_t fault = rt().launch_fault.tick();
    if (fault && !is_sticky(fault)) return fault;
    return submit(s, {name, std::move(body), std::move(buffers), {}, {}, fault});
  });
}
void fail_malloc(int nth, cudaError_t e) { rt().malloc_fault = {nth, e}; }
void fail_launch(int nth, cudaError_t e) { rt().launch_fault = {nth, e}; }
void track(const char* kind, int delta) { rt().live[kind] += delta; }
void report(const char* format, ...) {
  va_list args;
  va_start(args, format);
  fputs("emulator: ", stderr), vfprintf(stderr, format, args), fputc('\n', stderr);
  va_end(args);
}

}  // namespace emulator
