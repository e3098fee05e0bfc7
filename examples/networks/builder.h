// Adds layers to a Sequential under names that count by kind, as PyTorch users write them: conv1, norm1, relu1, dropout1, conv2, pool1, …
//   Builder b;
//   b.conv(1, 8, 3).norm(8).relu();
//   return b.take();
#pragma once

#include <mica/layers/layers.h>

#include <map>
#include <string>
#include <utility>

namespace mica::networks {

class Builder {
 public:
  Builder& conv(std::int64_t in, std::int64_t out, std::int64_t kernel, const Conv2d::Options& options = {.bias = false}) {
    return add("conv", Conv2d(in, out, kernel, options));
  }
  Builder& norm(std::int64_t channels) { return add("norm", BatchNorm2d(channels)); }
  Builder& relu() { return add("relu", ReLU()); }
  Builder& dropout(double p) { return add("dropout", Dropout(p)); }
  Builder& pool() { return add("pool", MaxPool2d(2)); }
  Builder& gap() { return once("gap", GlobalAvgPool()); }
  Builder& flatten() { return once("flatten", Flatten()); }
  Builder& linear(std::int64_t in, std::int64_t out) { return once("fc", Linear(in, out)); }
  Builder& log_softmax() { return once("log_softmax", LogSoftmax()); }

  // y = body(x) + x; the body's names count on.
  template <class Body> Builder& skip(const Body& body) {
    Builder inner;
    inner.numbers_ = numbers_;
    body(inner);
    numbers_ = inner.numbers_;
    return add("skip", Residual(inner.take()));
  }

  Sequential take() { return std::move(net_); }

 private:
  template <class M> Builder& add(const std::string& kind, M module) { return once(kind + std::to_string(++numbers_[kind]), std::move(module)); }
  template <class M> Builder& once(const std::string& name, M module) {
    net_.add(name, std::move(module));
    return *this;
  }

  Sequential net_;
  std::map<std::string, int> numbers_;
};

}  // namespace mica::networks
