// A case: one kernel at one shape. It declares its buffers, and how our kernel, a library and a naive loop fill them:
//   auto& c = cases.add("relu 1000");
//   const auto x = c.input(n), y = c.output(n);
//   c.native([=](Context& context, const Set& s) { unary_forward(context, Relu{}, n, s[x], s[y]); });
//   c.naive([=]<class V>(V& v) { v.each(n, y, ReluFormula<typename V::Real>{v[x]}); });
// Nothing is allocated before it runs. A set is one copy of all buffers; cold runs go around many of them.
#pragma once

#include "naive.h"

#include "../../examples/ceilings/ceilings.h"

#include <mica/core/context.h>
#include <mica/kernels/cpu/parallel.h>
#include <mica/kernels/settings.h>

#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace mica::bench {

template <class T>
struct Buffer {
  std::size_t offset;  // bytes from the beginning of a set
};
using Values = Buffer<float>;

struct Set {
  std::byte* base;
  template <class T> T* operator[](Buffer<T> b) const { return reinterpret_cast<T*>(base + b.offset); }
};

// What a buffer holds before a kernel runs, and whether a kernel's result is looked at.
struct Declared {
  std::size_t offset, bytes;
  i64 count = 0;
  std::function<void(std::byte*)> fill;  // none: bytes that make NaN
  bool read = false, written = false;
};

// The naive formulas in f32, on the device.
template <class Context>
struct NaiveRun {
  using Real = float;
  Context& context;
  const Set& set;
  template <class T> const T* operator[](Buffer<T> b) const { return set[b]; }
  const float* made(Values b) const { return set[b]; }  // what a formula before this one gave
  template <class Formula> void each(i64 n, Values y, const Formula& formula) { bench::each(context, n, formula, set[y]); }
  template <class Formula> void all(i64 n, Values y, const Formula& formula) { each(n, y, formula); }
};

// The same in f64, on the host, from a copy of the inputs: all outputs, or where there are many a sample of them, which depends on
// their number alone, so that a formula can read what another gave at its own position; where it reads others, all() gave them.
class Reference {
 public:
  using Real = double;
  static constexpr i64 all_below = 60000, samples = 20000;

  explicit Reference(std::vector<std::byte> inputs) : inputs_(std::move(inputs)) {}
  template <class T> const T* operator[](Buffer<T> b) const { return reinterpret_cast<const T*>(inputs_.data() + b.offset); }
  const double* made(Values b) const { return outputs_.at(b.offset).get(); }

  // Every looked-at position i of n values, for f(i).
  template <class F> static void positions(i64 n, const F& f) {
    if (n < all_below) return in_parallel(n, f);
    in_parallel(samples, [&](i64 k) { f(k == samples - 1 ? n - 1 : k * (n / samples) + k * 7919 % (n / samples)); });
  }
  template <class Formula> void each(i64 n, Values y, const Formula& formula) {
    positions(n, [&, out = room(n, y)](i64 i) { out[i] = formula(i); });
  }
  template <class Formula> void all(i64 n, Values y, const Formula& formula) {
    in_parallel(n, [&, out = room(n, y)](i64 i) { out[i] = formula(i); });
  }

 private:
  template <class F> static void in_parallel(i64 n, const F& f) {
    kernels::parallel_for(cpu_context(), n, 64, [&](i64 begin, i64 end) {
      for (i64 i = begin; i < end; ++i) f(i);
    });
  }
  double* room(i64 n, Values y) { return (outputs_[y.offset] = std::unique_ptr<double[]>(new double[static_cast<std::size_t>(n)])).get(); }

  std::vector<std::byte> inputs_;
  std::map<std::size_t, std::unique_ptr<double[]>> outputs_;
};

inline constexpr double tf32_tolerance = 2e-3;  // 10 bits of mantissa in both factors
// cuDNN may convolve by Winograd's or Fourier's transforms, and split sums as it likes: Winograd's of 4×4 outputs alone lose about a
// decimal digit to a direct sum in f32 (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015).
inline constexpr double cuda_library_tolerance = 1e-4;

template <class Context>
struct Implementation {
  std::string name;                             // native, naive, oneDNN, cuDNN, native TF32, …
  kernels::Policy policy = kernels::Policy::native;
  Products products = Products::f32;            // tf32: values may be rounded so
  std::optional<double> tolerance;              // instead of the case's
  std::function<void(Context&, const Set&)> run;
  std::function<double(const Set& before, const Set& after)> judge = {};  // its error, on the host, instead of comparing outputs
  std::function<double()> error = {};                                     // checks by itself, without buffers
};

template <class Context>
class Case {
 public:
  using Run = std::function<void(Context&, const Set&)>;

  std::string family, name;
  double bytes = 0, flops = 0;  // of one call; bytes is every buffer once, unless a family says otherwise
  double tolerance = 1e-5;      // |y − reference| ≤ tolerance · max |reference|, for each output
  bool tensor_cores = false;    // has it no other way?
  std::vector<Implementation<Context>> implementations;
  std::function<void(Reference&)> reference;
  std::vector<Declared> buffers;
  std::size_t set_bytes = 0;

  // ---- buffers: random values ----
  Values input(i64 n, float low = -1, float high = 1) { return declare<float>(n, uniform(n, low, high), true, false); }
  Values output(i64 n) { return declare<float>(n, {}, false, true); }
  Values in_out(i64 n, float low = -1, float high = 1) { return declare<float>(n, uniform(n, low, high), true, true); }
  template <class T> Buffer<T> whole(i64 n, i64 below) {
    return declare<T>(n, [n, below](std::byte* at) {
      std::uint64_t state = 2024;
      for (i64 i = 0; i < n; ++i) reinterpret_cast<T*>(at)[i] = static_cast<T>(next(state) % static_cast<std::uint64_t>(below));
    }, true, false);
  }
  // As a kernel's caller prepares it; bytes that kernels need beside their arguments are not counted.
  template <class T> Buffer<T> prepared(i64 n, std::function<void(T*)> fill) {
    return declare<T>(n, [fill](std::byte* at) { fill(reinterpret_cast<T*>(at)); }, true, false);
  }
  template <class T> Buffer<T> workspace(i64 n) { return declare<T>(n, {}, false, false); }
  Values scratch(i64 n) { return workspace<float>(n); }

  // ---- who fills them ----
  void native(Run run, Products products = Products::f32) { own("native", std::move(run), products); }
  void own(const std::string& which, Run run, Products products) { add(which, kernels::Policy::native, std::move(run), products); }
  void library(const std::string& which, Run run, Products products = Products::f32) {
    add(which, kernels::Policy::library, std::move(run), products);
  }
  template <class F> void expected(F f) {  // only the reference
    reference = [f](Reference& r) { f(r); };
  }
  // Sums in one f32 chain are worse than ours: the bound of a naive implementation is wider.
  template <class F> void naive(F f) {
    expected(f);
    implementations.push_back({"naive", kernels::Policy::native, Products::f32, 2e-3, [f](Context& context, const Set& set) {
      NaiveRun<Context> run{context, set};
      f(run);
    }});
  }

 private:
  void add(const std::string& which, kernels::Policy policy, Run run, Products products) {
    const bool tf32 = products == Products::tf32, cuda_library = !std::is_same_v<Context, Cpu> && policy == kernels::Policy::library;
    const std::optional<double> wider = tf32 ? std::optional(tf32_tolerance) : cuda_library ? std::optional(cuda_library_tolerance) : std::nullopt;
    implementations.push_back({which + (tf32 ? " TF32" : ""), policy, products, wider, std::move(run)});
  }
  static std::uint64_t next(std::uint64_t& state) { return (state = state * 6364136223846793005U + 1442695040888963407U) >> 33; }
  std::function<void(std::byte*)> uniform(i64 n, float low, float high) const {
    return [n, low, high, seed = set_bytes + 12345](std::byte* at) {
      std::uint64_t state = seed;
      for (i64 i = 0; i < n; ++i)
        reinterpret_cast<float*>(at)[i] = low + (high - low) * static_cast<float>(next(state) & 0xffffff) * 0x1p-24F;
    };
  }
  template <class T> Buffer<T> declare(i64 n, std::function<void(std::byte*)> fill, bool read, bool written) {
    const std::size_t size = static_cast<std::size_t>(n) * sizeof(T);
    buffers.push_back({set_bytes, size, n, std::move(fill), read, written});
    bytes += static_cast<double>(size) * (read + written);
    const Buffer<T> buffer{set_bytes};
    set_bytes += (size + 255) / 256 * 256;
    return buffer;
  }
};

enum class Sizes { small, network, large };

// The cases of all families, in order.
template <class Context>
struct Cases {
  Sizes sizes;
  std::string family;
  std::deque<Case<Context>> all;

  Case<Context>& add(std::string name) {
    all.emplace_back();
    all.back().family = family;
    all.back().name = std::move(name);
    return all.back();
  }
  i64 pick(i64 small, i64 network, i64 large) const { return sizes == Sizes::small ? small : sizes == Sizes::network ? network : large; }
};

template <class Context> inline constexpr bool on_cuda = !std::is_same_v<Context, Cpu>;

// One call, which the policy gives to our kernel or, on CUDA, to cuDNN.
template <class Context>
void native_and_cudnn(Case<Context>& c, const typename Case<Context>::Run& run) {
  c.native(run);
  if (on_cuda<Context>) c.library("cuDNN", run);
}

// "128x26x26x16"
inline std::string shape(std::initializer_list<i64> sizes) {
  std::string text;
  for (const i64 size : sizes) text += (text.empty() ? "" : "x") + std::to_string(size);
  return text;
}

}  // namespace mica::bench
