// What may not be done while a stream is captured, and graphs that outlive what they point to.
#include "planted.h"

#include <functional>

namespace planted {
namespace {

using mica::kernels::check;
using mica::kernels::Cuda;
using mica::kernels::Owned;

struct Graph {
  Graph(Cuda& cuda, const std::function<void()>& record) {
    check(cudaStreamBeginCapture(cuda.stream().get(), cudaStreamCaptureModeGlobal), "beginning a capture");
    record();
    check(cudaStreamEndCapture(cuda.stream().get(), graph.out()), "ending a capture");
    check(cudaGraphInstantiate(executable.out(), graph.get(), 0), "instantiating a graph");
  }
  void replay(Cuda& cuda) { check(cudaGraphLaunch(executable.get(), cuda.stream().get()), "replaying a graph"); }
  Owned<cudaGraph_t, cudaGraphDestroy> graph;
  Owned<cudaGraphExec_t, cudaGraphExecDestroy> executable;
};

constexpr std::size_t bytes = 64 * sizeof(float);

}  // namespace

std::vector<Program> capture_bugs() {
  return {
      {"host waits in a capture", "cudaErrorStreamCaptureUnsupported", always,
       [](Bench& b, bool bug) {
         Graph graph(b.cuda, [&] {
           fill(b.cuda, b.d, 4, 64);
           if (bug) b.cuda.stream().synchronize();
         });
         graph.replay(b.cuda);
         expect(host(b.cuda, b.d, 64)[0] == 4, "wrong result");
       }},
      {"pageable copy in a capture", "cudaErrorStreamCaptureUnsupported", always,
       [](Bench& b, bool bug) {
         const mica::kernels::Pinned pinned(bytes);
         float pageable[64];
         Graph graph(b.cuda, [&] {
           void* const target = bug ? pageable : pinned.get();
           check(cudaMemcpyAsync(target, b.d, bytes, cudaMemcpyDeviceToHost, b.cuda.stream().get()));
         });
       }},
      {"allocation in a capture", "cudaErrorStreamCaptureUnsupported", always,
       [](Bench& b, bool bug) {
         void* p = bug ? nullptr : b.memory.allocate(bytes);
         Graph graph(b.cuda, [&] {
           if (bug) p = b.memory.allocate(bytes);
         });
         check(cudaFree(p));
       }},
      {"graph whose memory was given back", "which is freed memory", always,
       [](Bench& b, bool bug) {
         void* p = b.memory.allocate(bytes);
         {
           Graph graph(b.cuda, [&] { fill(b.cuda, static_cast<float*>(p), 1, 64); });
           if (bug) check(cudaFree(p));
           graph.replay(b.cuda);
           b.cuda.stream().synchronize();
         }
         if (!bug) check(cudaFree(p));
       }},
      {"forked stream that never joins a capture", "cudaErrorStreamCaptureUnjoined", always,
       [](Bench& b, bool bug) {
         Cuda side(0, b.memory, b.settings);
         const mica::kernels::Scratch<float> copy(b.memory, 64);
         mica::kernels::Event fork, join;
         Graph graph(b.cuda, [&] {
           fill(b.cuda, b.d, 1, 64);
           fork.record(b.cuda.stream());
           check(cudaStreamWaitEvent(side.stream().get(), fork.get(), 0));
           check(cudaMemcpyAsync(copy.get(), b.d, bytes, cudaMemcpyDeviceToDevice, side.stream().get()));
           if (bug) return;
           join.record(side.stream());
           check(cudaStreamWaitEvent(b.cuda.stream().get(), join.get(), 0));
         });
         graph.replay(b.cuda);
         expect(host(b.cuda, copy.get(), 64)[0] == 1, "wrong result");
       }},
  };
}

}  // namespace planted
