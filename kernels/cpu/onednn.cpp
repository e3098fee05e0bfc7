#include <mica/kernels/cpu/onednn.h>

#ifdef MICA_ONEDNN
#include <omp.h>

namespace mica::kernels {

dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

void PrimitiveCache::set_threads(int threads) {
  if (threads == threads_) return;
  threads_ = threads;
  omp_set_num_threads(threads);  // oneDNN plans a primitive for the threads there are when it is made
  primitives_.clear();
}

void PrimitiveCache::execute(Cpu& cpu, const Primitive& p, const std::map<int, const void*>& pointers,
                             int weights_argument, const void* weights, bool weights_are_result) {
  const auto memory = [&](const dnnl::memory::desc& layout, const void* pointer) {
    return dnnl::memory(layout, engine_, const_cast<void*>(pointer));
  };
  char* scratch = static_cast<char*>(cpu.scratch(p.scratch_bytes()));
  std::unordered_map<int, dnnl::memory> arguments;
  for (const auto& [argument, layout] : p.arguments)
    if (const void* pointer = pointers.at(argument)) arguments.emplace(argument, memory(layout, pointer));
  arguments.emplace(DNNL_ARG_SCRATCHPAD, memory(p.scratchpad, scratch + p.weights_bytes()));
  if (!p.reordered) {
    if (weights_argument) arguments.emplace(weights_argument, memory(p.plain_weights, weights));
    p.run.execute(stream_, arguments);
    return;
  }
  const dnnl::memory plain = memory(p.plain_weights, weights), best = memory(p.best_weights, scratch);
  arguments.emplace(weights_argument, best);
  if (!weights_are_result) p.reorder.execute(stream_, {{DNNL_ARG_FROM, plain}, {DNNL_ARG_TO, best}});
  p.run.execute(stream_, arguments);
  if (weights_are_result) p.reorder.execute(stream_, {{DNNL_ARG_FROM, best}, {DNNL_ARG_TO, plain}});
}

}  // namespace mica::kernels
#endif
