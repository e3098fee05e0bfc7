#include "runtime.h"

#include "report.h"
#include "sanitizers.h"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <utility>

namespace emulator {
namespace {

bool ready(const CUstream_st& stream) { return !stream.queue.empty() && std::ranges::none_of(stream.queue.front().after, pending); }

cudaError_t usable(const Work& work, const void* p, std::size_t bytes, bool device) {
  Block* const b = find(p, bytes);
  if (b && b->live && b->device == device) return cudaSuccess;
  report("'%s' ran with %p (%zu bytes), which is %s", work.name.c_str(), p, bytes,
         b && !b->live ? "freed memory" : "not device memory of that size");
  return cudaErrorIllegalAddress;
}

cudaError_t usable(const Work& work) {
  for (const Buffer& b : work.device)
    if (const cudaError_t error = usable(work, b.p, b.bytes, true)) return error;
  for (const HostUse& use : work.host)
    if (const cudaError_t error = usable(work, use.p, use.bytes, false)) return error;
  return work.injected;
}

void perform(const Work& work) {
  Runtime& r = runtime();
  if (r.sticky) return;  // a broken context runs nothing more
  if ((r.sticky = usable(work))) return;
  const Running scope(work.name.c_str());
  for (const Buffer& b : work.device) open(*find(b.p), b.written ? Block::Open::write : Block::Open::read);
  try {
    work.body();
  } catch (const std::exception& e) {
    report("'%s' failed: %s", work.name.c_str(), e.what());
    r.sticky = cudaErrorLaunchFailure;
  }
}

void run_head(CUstream_st& stream) {
  const Work work = std::move(stream.queue.front());
  stream.queue.pop_front();
  let_go(work.host);
  perform(work);
  ++stream.done;
}

// The device gets ahead of what the host asked for, on whatever stream.
void wander() {
  Runtime& r = runtime();
  while (r.options.schedule == Schedule::random && r.random.one_in(2)) {
    std::vector<CUstream_st*> candidates;
    for (const auto& stream : r.streams.all)
      if (ready(*stream)) candidates.push_back(stream.get());
    if (candidates.empty()) return;
    run_head(*candidates[r.random.next() % candidates.size()]);
  }
}

}  // namespace

Runtime::Runtime() {
  legacy->blocking = true;
  if (options.fault) calls[static_cast<std::size_t>(options.fault->kind)] = {0, options.fault->nth, options.fault->error, options.fault->ever_after};
}

Runtime& runtime() {
  static Runtime& one = *new Runtime;  // outlives every static destructor
  return one;
}

// Registered before the first ordinary static is constructed, so it runs after the last one is destroyed.
__attribute__((constructor(101))) static void register_leak_report() { std::atexit(report_leaks); }

// ---- running ----

bool pending(const Mark& mark) { return mark.stream && mark.stream->done < mark.count; }

void advance(const Mark& mark) {
  CUstream_st* stream = mark.stream;
  while (!ready(*stream)) {  // ends: an operation waits only for operations submitted before it
    const auto& after = stream->queue.front().after;
    stream = std::ranges::find_if(after, pending)->stream;
  }
  run_head(*stream);
}

void complete(const Mark& mark) {
  if (!pending(mark)) return;
  const Running batch(nullptr);  // memory stays open from one operation to the next
  while (pending(mark)) advance(mark), wander();
}

// Any order that the captured dependencies allow; latest first unless random.
void run_graph(const std::vector<Node>& nodes) {
  Runtime& r = runtime();
  std::vector<bool> done(nodes.size());
  const auto ready_node = [&](std::size_t i) {
    return !done[i] && std::ranges::all_of(nodes[i].after, [&](std::size_t before) { return done[before]; });
  };
  for (std::size_t left = nodes.size(); left > 0; --left) {
    std::vector<std::size_t> candidates;
    for (std::size_t i = 0; i < nodes.size(); ++i)
      if (ready_node(i)) candidates.push_back(i);
    const bool random = r.options.schedule == Schedule::random;
    const std::size_t i = random ? candidates[r.random.next() % candidates.size()] : candidates.back();
    perform(nodes[i].work);
    done[i] = true;
  }
}

// ---- submitting ----

cudaError_t submit(CUstream_st& stream, Work work) {
  Runtime& r = runtime();
  if (stream.capture) {
    if (!stream.capture->valid) return cudaErrorStreamCaptureInvalidated;
    stream.capture->nodes.push_back({std::move(work), std::exchange(stream.tail, {stream.capture->nodes.size()})});
    return cudaSuccess;
  }
  if (&stream == r.legacy) {
    if (const cudaError_t error = refuse_legacy_in_capture(work.name.c_str())) return error;
    for (const auto& other : r.streams.all)
      if (other->blocking && other.get() != &stream) work.after.push_back(other->end());
  } else if (stream.blocking) {
    work.after.push_back(r.legacy->end());
  }
  hold(work.host);
  stream.queue.push_back(std::move(work));
  ++stream.issued;
  if (r.options.schedule == Schedule::eager) complete(stream.end());
  wander();
  return cudaSuccess;
}

CUstream_st* live_stream(cudaStream_t handle) {
  CUstream_st* const stream = !handle || handle == cudaStreamLegacy ? runtime().legacy : runtime().streams.get(handle);
  if (!stream) report("%p is not a live stream", static_cast<void*>(handle));
  return stream;
}

// ---- device.h ----

cudaError_t enqueue(cudaStream_t stream, const char* name, std::vector<Buffer> buffers, std::function<void()> body) {
  return api_of_work(Call::launch, [&](cudaError_t fault) {
    return with(stream, [&](CUstream_st& s) {
      ++runtime().submitted[name];
      return submit(s, {name, body, buffers, {}, {}, fault});
    });
  });
}

cudaError_t enqueue_by_library(cudaStream_t stream, const char* name, std::vector<Buffer> buffers, std::function<void()> body) {
  const std::lock_guard lock(runtime().mutex);
  const cudaError_t before = runtime().last, error = enqueue(stream, name, std::move(buffers), std::move(body));
  runtime().last = before;
  return error;
}

cudaError_t refuse_call(cudaError_t error) {
  return api([&] { return error; });
}

cudaError_t set_bounds(cudaStream_t stream, void* p, std::size_t usable_bytes, std::size_t size) {
  if (!asan::on) return cudaSuccess;
  return on(stream, [&](CUstream_st& s) {
    return submit(s, {"set_bounds", [=] {
                        asan::unpoison(p, usable_bytes);
                        asan::poison(static_cast<char*>(p) + usable_bytes, size - usable_bytes);
                      }});
  });
}

int submitted(std::string_view prefix) {
  const std::lock_guard lock(runtime().mutex);
  int count = 0;
  for (const auto& [name, times] : runtime().submitted)
    if (name.starts_with(prefix)) count += times;
  return count;
}

void track(const char* kind, int delta) {
  const std::lock_guard lock(runtime().mutex);
  runtime().tracked[kind] += delta;
}

}  // namespace emulator
