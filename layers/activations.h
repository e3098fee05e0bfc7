// Activations: layers around the ops of the same names, without parameters or state. Formulas: kernels/functors.h.
#pragma once

#include <mica/core/ops/elementwise.h>
#include <mica/core/ops/softmax.h>
#include <mica/layers/module.h>

namespace mica {

class ReLU : public Module {
 public:
  Tensor forward(const Tensor& x) override { return relu(x); }
  const char* kind() const override { return "ReLU"; }
};

class LeakyReLU : public Module {
 public:
  explicit LeakyReLU(double negative_slope = 0.01) : negative_slope_(negative_slope) {}
  Tensor forward(const Tensor& x) override { return leaky_relu(x, negative_slope_); }
  const char* kind() const override { return "LeakyReLU"; }

 private:
  double negative_slope_;
};

class Sigmoid : public Module {
 public:
  Tensor forward(const Tensor& x) override { return sigmoid(x); }
  const char* kind() const override { return "Sigmoid"; }
};

class Tanh : public Module {
 public:
  Tensor forward(const Tensor& x) override { return tanh(x); }
  const char* kind() const override { return "Tanh"; }
};

class GELU : public Module {
 public:
  explicit GELU(GeluApproximation approximate = GeluApproximation::none) : approximate_(approximate) {}
  Tensor forward(const Tensor& x) override { return gelu(x, approximate_); }
  const char* kind() const override { return "GELU"; }

 private:
  GeluApproximation approximate_;
};

class Softmax : public Module {  // along a logical dimension
 public:
  explicit Softmax(int dim) : dim_(dim) {}
  Tensor forward(const Tensor& x) override { return softmax(x, dim_); }
  const char* kind() const override { return "Softmax"; }

 private:
  int dim_;
};

class LogSoftmax : public Module {
 public:
  explicit LogSoftmax(int dim = 1) : dim_(dim) {}
  Tensor forward(const Tensor& x) override { return log_softmax(x, dim_); }
  const char* kind() const override { return "LogSoftmax"; }

 private:
  int dim_;
};

}  // namespace mica
