// Initial values of parameters: torch.nn.init, and the defaults that layers use.
//
// All fill in place, whether or not the tensor requires a gradient, from random numbers that depend on the seed and on
// how many fillings there were since manual_seed: same seed, same order, same bits.
//   kaiming_normal_(conv.weight, {.mode = FanMode::fan_out, .nonlinearity = Nonlinearity::relu});
// A weight of shape (out, in, …) has fan_in = in · Π…, fan_out = out · Π…; rank below 2 is a ShapeError. Nothing is drawn
// for a tensor without elements.
#pragma once

#include <mica/core/random.h>
#include <mica/core/tensor.h>

namespace mica {

void constant_(Tensor& x, double value);
void uniform_(Tensor& x, double low = 0, double high = 1);
void normal_(Tensor& x, double mean = 0, double deviation = 1);

enum class FanMode { fan_in, fan_out };
enum class Nonlinearity { linear, sigmoid, tanh, relu, leaky_relu };

// By how much an activation shrinks deviations: 1 for linear and sigmoid, 5/3 for tanh, √2 for relu,
// √(2 / (1 + negative_slope²)) for leaky_relu.
double calculate_gain(Nonlinearity nonlinearity, double negative_slope = 0.01);

struct KaimingOptions {
  double a = 0;  // negative slope of leaky_relu
  FanMode mode = FanMode::fan_in;
  Nonlinearity nonlinearity = Nonlinearity::leaky_relu;
};

// Deviation gain/√fan: U(±√3 · deviation) or N(0, deviation²). He, Zhang, Ren, Sun, "Delving Deep into Rectifiers", 2015.
void kaiming_uniform_(Tensor& x, const KaimingOptions& options = {});
void kaiming_normal_(Tensor& x, const KaimingOptions& options = {});

// Deviation gain · √(2 / (fan_in + fan_out)), likewise. Glorot, Bengio, "Understanding the Difficulty of Training Deep
// Feedforward Neural Networks", 2010.
void xavier_uniform_(Tensor& x, double gain = 1);
void xavier_normal_(Tensor& x, double gain = 1);

// A trainable f32 tensor ~ U(±1/√fan_in): PyTorch's default for convolutions and linear layers, weight and bias alike.
Tensor default_parameter(const Shape& shape, std::int64_t fan_in);

Tensor constant_parameter(const Shape& shape, double value);  // trainable, f32

}  // namespace mica
