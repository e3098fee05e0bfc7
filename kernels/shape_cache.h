// What is made once for each shape and setting, and kept: a library's primitives, plans and choices of algorithms.
#pragma once

#include <cstddef>
#include <map>

namespace mica::kernels {

template <class Key, class Value>
class ShapeCache {
 public:
  // The value kept under key, made by make() the first time.
  template <class F>
  Value& get(const Key& key, const F& make) {
    const auto found = kept_.find(key);
    if (found != kept_.end()) return found->second;
    if (kept_.size() >= most) kept_.clear();  // a program that never repeats a shape must not grow
    return kept_.emplace(key, make()).first->second;
  }
  void clear() { kept_.clear(); }

 private:
  static constexpr std::size_t most = 1024;
  std::map<Key, Value> kept_;
};

}  // namespace mica::kernels
