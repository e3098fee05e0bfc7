// oneDNN's primitives, made once for each shape and kept in the context. The one place that knows that oneDNN 2 and 3
// make them differently. In a build without oneDNN the cache is empty.
#pragma once

#include <mica/kernels/cpu/context.h>
#include <mica/kernels/dims.h>
#include <mica/kernels/shape_cache.h>

#ifdef MICA_ONEDNN
#include <dnnl.hpp>

#include <map>
#include <vector>
#endif

namespace mica::kernels {

#ifndef MICA_ONEDNN

class PrimitiveCache {
 public:
  void set_threads(int) {}
};

#else

// A primitive and what it needs to run on plain pointers. Where oneDNN wants another weight layout, `reorder`
// translates: for each use of the weights before it runs, for a gradient of them after.
struct Primitive {
  dnnl::primitive run;
  dnnl::memory::desc plain_weights, best_weights, scratchpad;
  dnnl::reorder reorder;         // plain → best, or best → plain where the weights are the result
  bool reordered = false;
  std::map<int, dnnl::memory::desc> arguments;  // DNNL_ARG_… → layout, but for weights and scratchpad

  // What the context's scratch must hold, in bytes: the weights in oneDNN's layout, then its scratchpad.
  std::size_t weights_bytes() const { return reordered ? (best_weights.get_size() + 63) / 64 * 64 : 0; }
  std::size_t scratch_bytes() const { return weights_bytes() + scratchpad.get_size(); }
};

class PrimitiveCache {
 public:
  using Key = std::vector<i64>;  // what, then every dimension

  void set_threads(int threads);
  const dnnl::engine& engine() const { return engine_; }

  // The primitive kept under key, made by make() the first time.
  template <class F>
  const Primitive& get(const Key& key, const F& make) {
    return primitives_.get(key, make);
  }

  // Runs it on pointers in the layouts of p.arguments. weights_argument is the DNNL_ARG of `weights`, or 0 for none;
  // weights_are_result says that they are written.
  void execute(Cpu& cpu, const Primitive& p, const std::map<int, const void*>& pointers, int weights_argument = 0,
               const void* weights = nullptr, bool weights_are_result = false);

 private:
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  ShapeCache<Key, Primitive> primitives_;
  int threads_ = 0;
};

// Attributes of every primitive: its scratch memory is ours.
dnnl::primitive_attr user_scratchpad();

// Makes `Kind`'s primitive_desc from its description's arguments, in oneDNN 2 and 3. `hint` is empty or the forward
// descriptor that a backward one asks for.
template <class Kind, class... Hint, class... Args>
typename Kind::primitive_desc describe(const dnnl::engine& engine, std::tuple<Hint...> hint, const Args&... args) {
  const dnnl::primitive_attr attributes = user_scratchpad();
#if DNNL_VERSION_MAJOR >= 3
  return std::apply([&](const auto&... h) { return typename Kind::primitive_desc(engine, args..., h..., attributes); }, hint);
#else
  return std::apply([&](const auto&... h) { return typename Kind::primitive_desc(typename Kind::desc(args...), attributes, engine, h...); },
                    hint);
#endif
}

#endif

}  // namespace mica::kernels
