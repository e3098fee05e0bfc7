// What the ops refuse, and the whole text with which they do: at least two rows for each op. PyTorch refuses them all too,
// except some dtypes (it computes in integers, and promotes) and global_avg_pool of what is no image (its mean takes any
// rank; the op is Mica's own).
#include "../catch.h"
#include "../compare.h"
#include "case_table.h"

#include <mica/core/autograd.h>
#include <mica/core/error.h>

#include <fmt/format.h>

#include <cstdio>

using namespace mica;
using namespace mica::test;

namespace {

struct Refused {
  const char* line;  // of a case, as in case_table.h
  const char* text;  // of the Error
};

const std::vector<Refused> refused{
    // elementwise
    {R"({"op": "add", "arguments": {"input": {"shape": [2, 3]}, "other": {"shape": [2, 4]}}})",
     "add: shapes 2×3 and 2×4 do not broadcast: sizes 3 and 4 differ and neither is 1"},
    {R"({"op": "add", "arguments": {"input": {"shape": [2, 3]}}})", "add: argument 'other' is missing"},
    {R"({"op": "sub", "arguments": {"input": {"shape": [2, 3]}, "other": {"shape": [2, 4]}}})",
     "sub: shapes 2×3 and 2×4 do not broadcast: sizes 3 and 4 differ and neither is 1"},
    {R"({"op": "sub", "arguments": {"input": {"shape": [2, 3]}, "other": {"shape": [2, 3], "fill": "classes", "below": 3}}})",
     "sub: tensors are f64 and i64, expected one dtype; convert one with to()"},
    {R"({"op": "div", "arguments": {"input": {"shape": [2, 3], "fill": "classes", "below": 3},)"
     R"( "other": {"shape": [2, 3], "fill": "classes", "below": 3}}})",
     "div: the first argument is i64, expected f32 or f64; convert it with to()"},
    {R"({"op": "div", "alpha": 2, "arguments": {"input": {"shape": [2, 3]}, "other": {"shape": [2, 3]}}})",
     "div: attribute 'alpha' is not known; it takes input, other"},
    {R"({"op": "mul", "other": "two", "arguments": {"input": {"shape": [2, 3]}}})",
     "mul: attribute 'other' is \"two\", expected a number"},
    {R"({"op": "mul", "arguments": {"input": {"shape": [2, 3, 4]}, "other": {"shape": [2, 1, 4, 4]}}})",
     "mul: shapes 2×3×4 and 2×1×4×4 do not broadcast: sizes 3 and 4 differ and neither is 1"},
    {R"({"op": "pow", "arguments": {"input": {"shape": [3], "fill": "positive"}, "exponent": {"shape": [4]}}})",
     "pow: shapes 3 and 4 do not broadcast: sizes 3 and 4 differ and neither is 1"},
    {R"({"op": "pow", "exponent": 2, "arguments": {"input": {"shape": [3], "fill": "classes", "below": 3}}})",
     "pow: the input is i64, expected f32 or f64; convert it with to()"},
    {R"({"op": "exp", "arguments": {"input": {"shape": [2, 3], "fill": "classes", "below": 3}}})",
     "exp: the input is i64, expected f32 or f64; convert it with to()"},
    {R"({"op": "exp", "arguments": {}})", "exp: argument 'input' is missing"},
    {R"({"op": "log", "arguments": {"input": {"shape": [2, 3], "fill": "classes", "below": 3}}})",
     "log: the input is i64, expected f32 or f64; convert it with to()"},
    {R"({"op": "log", "base": 2, "arguments": {"input": {"shape": [3], "fill": "positive"}}})",
     "log: attribute 'base' is not known; it takes input"},
    {R"({"op": "sqrt", "arguments": {"input": {"shape": [2, 3], "fill": "classes", "below": 3}}})",
     "sqrt: the input is i64, expected f32 or f64; convert it with to()"},
    {R"({"op": "sqrt", "arguments": {"inptu": {"shape": [2, 3]}}})", "sqrt: argument 'input' is missing"},
    {R"({"op": "clamp", "arguments": {"input": {"shape": [2, 3]}}})", "clamp: expected min, max or both, got neither"},
    {R"({"op": "clamp", "min": 0, "maxx": 1, "arguments": {"input": {"shape": [2, 3]}}})",
     "clamp: attribute 'maxx' is not known, did you mean 'max'?; it takes input, max, min"},
    {R"({"op": "relu", "arguments": {"input": {"shape": [2, 3], "fill": "classes", "below": 3}}})",
     "relu: the input is i64, expected f32 or f64; convert it with to()"},
    {R"({"op": "relu", "inplace": true, "arguments": {"input": {"shape": [2, 3]}}})",
     "relu: attribute 'inplace' is not known; it takes input"},
    {R"({"op": "leaky_relu", "arguments": {"input": {"shape": [4], "fill": "classes", "below": 3}}})",
     "leaky_relu: the input is i64, expected f32 or f64; convert it with to()"},
    {R"({"op": "leaky_relu", "negativ_slope": 0.1, "arguments": {"input": {"shape": [2, 3]}}})",
     "leaky_relu: attribute 'negativ_slope' is not known, did you mean 'negative_slope'?; it takes input, negative_slope"},
    {R"({"op": "sigmoid", "arguments": {"input": {"shape": [4], "fill": "classes", "below": 3}}})",
     "sigmoid: the input is i64, expected f32 or f64; convert it with to()"},
    {R"({"op": "sigmoid", "arguments": {"other": {"shape": [2, 3]}}})", "sigmoid: argument 'input' is missing"},
    {R"({"op": "tanh", "arguments": {"input": {"shape": [4], "fill": "classes", "below": 3}}})",
     "tanh: the input is i64, expected f32 or f64; convert it with to()"},
    {R"({"op": "tanh", "arguments": {}})", "tanh: argument 'input' is missing"},
    {R"({"op": "gelu", "approximate": "erf", "arguments": {"input": {"shape": [2, 3]}}})",
     "gelu: attribute 'approximate' is erf, expected none or tanh"},
    {R"({"op": "gelu", "arguments": {"input": {"shape": [4], "fill": "classes", "below": 3}}})",
     "gelu: the input is i64, expected f32 or f64; convert it with to()"},
    {R"({"op": "dropout", "p": 1.5, "arguments": {"input": {"shape": [2, 3]}}})",
     "dropout: expected a probability from 0 to 1, got 1.5"},
    {R"({"op": "dropout", "training": "yes", "arguments": {"input": {"shape": [2, 3]}}})",
     "dropout: attribute 'training' is \"yes\", expected true or false"},
    // reductions
    {R"({"op": "sum", "dim": [1, -1], "arguments": {"input": {"shape": [2, 3]}}})", "sum: dimension 1 is given twice"},
    {R"({"op": "sum", "dim": 1, "arguments": {"input": {"shape": []}}})",
     "sum: dimension 1 is out of range for a tensor of rank 0; give one of -1 to 0"},
    {R"({"op": "mean", "dim": [1, -1], "arguments": {"input": {"shape": [2, 3]}}})", "mean: dimension 1 is given twice"},
    {R"({"op": "mean", "arguments": {"input": {"shape": [2, 3], "fill": "classes", "below": 3}}})",
     "mean: the input is i64, expected f32 or f64; convert it with to()"},
    {R"({"op": "amax", "dim": -3, "arguments": {"input": {"shape": [2, 3]}}})",
     "amax: dimension -3 is out of range for a tensor of rank 2; give one of -2 to 1"},
    {R"({"op": "amax", "dim": 0, "arguments": {"input": {"shape": [0, 3]}}})",
     "amax: expected at least one element to choose from, got an input of shape 0×3"},
    {R"({"op": "amin", "dim": [0, 2, 0], "arguments": {"input": {"shape": [2, 3, 4]}}})", "amin: dimension 0 is given twice"},
    {R"({"op": "amin", "dim": 0, "arguments": {"input": {"shape": [0, 3]}}})",
     "amin: expected at least one element to choose from, got an input of shape 0×3"},
    {R"({"op": "max", "arguments": {"input": {"shape": [0, 3]}}})",
     "max: expected at least one element to choose from, got an input of shape 0×3"},
    {R"({"op": "max", "dim": 1, "keepdim": true, "arguments": {"input": {"shape": [3, 0]}}})",
     "max: expected at least one element to choose from, got an input of shape 3×0"},
    {R"({"op": "min", "dim": 5, "arguments": {"input": {"shape": [2, 3]}}})",
     "min: dimension 5 is out of range for a tensor of rank 2; give one of -2 to 1"},
    {R"({"op": "min", "dim": [0, 1], "arguments": {"input": {"shape": [2, 3]}}})",
     "min: attribute 'dim' is [0,1], expected a whole number"},
    {R"({"op": "argmax", "arguments": {"input": {"shape": [0, 3]}}})",
     "argmax: expected at least one element to choose from, got an input of shape 0×3"},
    {R"({"op": "argmax", "dim": 2, "arguments": {"input": {"shape": [2, 3]}}})",
     "argmax: dimension 2 is out of range for a tensor of rank 2; give one of -2 to 1"},
    {R"({"op": "argmin", "arguments": {"input": {"shape": [0, 3]}}})",
     "argmin: expected at least one element to choose from, got an input of shape 0×3"},
    {R"({"op": "argmin", "dim": -1, "arguments": {"input": {"shape": [3, 0]}}})",
     "argmin: expected at least one element to choose from, got an input of shape 3×0"},
    // products
    {R"({"op": "matmul", "arguments": {"input": {"shape": [2, 3]}, "other": {"shape": [2, 3]}}})",
     "matmul: expected the first's last dimension to equal the second's last but one, got 2×3 and 2×3"},
    {R"({"op": "matmul", "arguments": {"input": {"shape": []}, "other": {"shape": [2, 3]}}})",
     "matmul: expected tensors of rank 1 or more, got scalar and 2×3; multiply by a scalar with mul"},
    {R"({"op": "matmul", "arguments": {"input": {"shape": [2, 3, 4]}, "other": {"shape": [3, 4, 5]}}})",
     "matmul of the batches of 2×3×4 and 3×4×5: shapes 2 and 3 do not broadcast: sizes 2 and 3 differ and neither is 1"},
    {R"({"op": "linear", "arguments": {"input": {"shape": [2, 4]}, "weight": {"shape": [5, 3]}}})",
     "linear: expected an input whose last dimension is 3, got 2×4 (weight 5×3)"},
    {R"({"op": "linear", "arguments": {"input": {"shape": [2, 3]}, "weight": {"shape": [5, 3]}, "bias": {"shape": [3]}}})",
     "linear: expected a bias of shape 5, got 3"},
    {R"({"op": "linear", "arguments": {"input": {"shape": [2, 3]}, "weight": {"shape": [5, 3, 1]}}})",
     "linear: expected a weight of shape (out, in), got 5×3×1"},
    {R"({"op": "conv2d", "arguments": {"input": {"shape": [2, 3]}, "weight": {"shape": [1, 1, 1, 1]}}})",
     "conv2d: expected an input of shape (N, C, H, W) or (C, H, W), got rank 2 (input 2×3, weight 1×1×1×1)"},
    {R"({"op": "conv2d", "arguments": {"input": {"shape": [1, 4, 5, 5]}, "weight": {"shape": [6, 3, 3, 3]}}})",
     "conv2d: expected 3 input channels, got 4 (input 1×4×5×5, weight 6×3×3×3)"},
    {R"({"op": "conv2d", "stride": 0, "arguments": {"input": {"shape": [1, 4, 5, 5]}, "weight": {"shape": [6, 4, 3, 3]}}})",
     "conv2d: expected stride and dilation of 1 or more and padding of 0 or more (none from 2³¹), got stride 0, dilation 1, padding 0 (input 1×4×5×5, weight 6×4×3×3)"},
    {R"({"op": "conv2d", "padding": [0, -1], "arguments": {"input": {"shape": [1, 4, 5, 5]}, "weight": {"shape": [6, 4, 3, 3]}}})",
     "conv2d: expected stride and dilation of 1 or more and padding of 0 or more (none from 2³¹), got stride 1, dilation 1, padding -1 (input 1×4×5×5, weight 6×4×3×3)"},
    {R"({"op": "conv2d", "groups": 4, "arguments": {"input": {"shape": [1, 4, 5, 5]}, "weight": {"shape": [6, 2, 3, 3]}}})",
     "conv2d: expected groups to divide the 6 output channels, got 4 groups (input 1×4×5×5, weight 6×2×3×3)"},
    {R"({"op": "conv2d", "arguments": {"input": {"shape": [1, 4, 5, 5]}, "weight": {"shape": [6, 4, 3, 3]}, "bias": {"shape": [4]}}})",
     "conv2d: expected a bias of shape 6, got 4 (input 1×4×5×5, weight 6×4×3×3)"},
    {R"({"op": "conv2d", "dilation": 3, "arguments": {"input": {"shape": [1, 4, 5, 5]}, "weight": {"shape": [6, 4, 3, 3]}}})",
     "conv2d: the 3×3 kernel with dilation 3×3 does not fit into the 5×5 image with padding 0×0 (input 1×4×5×5, weight 6×4×3×3)"},
    {R"({"op": "conv2d", "padding": "full", "arguments": {"input": {"shape": [1, 4, 5, 5]}, "weight": {"shape": [6, 4, 3, 3]}}})",
     "conv2d: padding is full, expected one or two numbers, valid or same"},
    // rearranging
    {R"({"op": "reshape", "shape": [4, 2], "arguments": {"input": {"shape": [2, 3]}}})",
     "reshape: shape 2×3 of 6 elements cannot become 4×2"},
    {R"({"op": "reshape", "shape": [-1, -1], "arguments": {"input": {"shape": [2, 3]}}})", "reshape: -1×-1 has more than one -1"},
    {R"({"op": "reshape", "shape": [4, -1], "arguments": {"input": {"shape": [2, 3]}}})",
     "reshape: shape 2×3 of 6 elements cannot become 4×-1"},
    {R"({"op": "reshape", "shape": [-2, -3], "arguments": {"input": {"shape": [2, 3]}}})",
     "reshape: shape 2×3 of 6 elements cannot become -2×-3"},
    {R"({"op": "permute", "dims": [0], "arguments": {"input": {"shape": [2, 3]}}})",
     "permute: expected 2 dimensions, one for each of the input (2×3), got [0]"},
    {R"({"op": "permute", "dims": [0, -2], "arguments": {"input": {"shape": [2, 3]}}})",
     "permute: dimension 0 is given twice in [0, -2]"},
    {R"({"op": "permute", "dims": [0, 2], "arguments": {"input": {"shape": [2, 3]}}})",
     "permute: dimension 2 is out of range for a tensor of rank 2; give one of -2 to 1"},
    {R"({"op": "transpose", "dim0": 0, "dim1": 2, "arguments": {"input": {"shape": [2, 3]}}})",
     "transpose: dimension 2 is out of range for a tensor of rank 2; give one of -2 to 1"},
    {R"({"op": "transpose", "dim0": 0, "arguments": {"input": {"shape": [2, 3]}}})", "transpose: attribute 'dim1' is missing"},
    {R"({"op": "broadcast_to", "size": [2, 4], "arguments": {"input": {"shape": [2, 3]}}})",
     "broadcast_to: shapes 2×3 and 2×4 do not broadcast: sizes 3 and 4 differ and neither is 1"},
    {R"({"op": "broadcast_to", "size": [3], "arguments": {"input": {"shape": [2, 3]}}})",
     "broadcast_to: shape 2×3 cannot become 3; only sizes of 1 change, and new dimensions come in front"},
    {R"({"op": "broadcast_to", "size": [-2, 3], "arguments": {"input": {"shape": [1, 3]}}})",
     "broadcast_to: shape 1×3 cannot become -2×3; only sizes of 1 change, and new dimensions come in front"},
    {R"({"op": "cat", "arguments": {}})", "cat: expected at least one tensor, got none"},
    {R"({"op": "cat", "dim": 1, "arguments": {"tensors.0": {"shape": [2, 3]}, "tensors.1": {"shape": [3, 4]}}})",
     "cat: shapes 2×3 and 3×4 differ in more than dimension 1"},
    {R"({"op": "cat", "arguments": {"tensors.0": {"shape": []}, "tensors.1": {"shape": []}}})",
     "cat: a scalar has no dimension to join along; use stack"},
    {R"({"op": "cat", "arguments": {"tensors.0": {"shape": [2, 3]}, "tensors.1": {"shape": [2, 3], "fill": "classes", "below": 3}}})",
     "cat: tensors are f64 and i64, expected one dtype; convert one with to()"},
    {R"({"op": "stack", "arguments": {}})", "stack: expected at least one tensor, got none"},
    {R"({"op": "stack", "arguments": {"tensors.0": {"shape": [2, 3]}, "tensors.1": {"shape": [2, 4]}}})",
     "stack: expected tensors of one shape, got 2×3 and 2×4"},
    {R"({"op": "stack", "arguments": {"tensors.0": {"shape": [2, 3]}, "tensors.1": {"shape": [2, 3], "fill": "classes", "below": 3}}})",
     "stack: tensors are f64 and i64, expected one dtype; convert one with to()"},
    {R"({"op": "split", "split_size_or_sections": [3, 3], "arguments": {"tensor": {"shape": [7]}}})",
     "split: expected sizes of 0 or more that sum to 7, the size of dimension 0 of 7, got [3, 3]"},
    {R"({"op": "split", "split_size_or_sections": 0, "arguments": {"tensor": {"shape": [7]}}})",
     "split: expected parts of a size of 1 or more, got 0 (input 7)"},
    {R"({"op": "split", "split_size_or_sections": 1, "dim": 2, "arguments": {"tensor": {"shape": [2, 3]}}})",
     "split: dimension 2 is out of range for a tensor of rank 2; give one of -2 to 1"},
    {R"({"op": "split", "split_size_or_sections": 1, "arguments": {"tensor": {"shape": []}}})",
     "split: a scalar has no dimension to cut along"},
    {R"({"op": "gather", "dim": 0, "arguments": {"input": {"shape": [2, 3]}, "index": {"shape": [2, 4], "fill": "indices", "below": 2}}})",
     "gather: expected an index of the input's rank, no larger than the input but in dimension 0, got 2×4 (input 2×3)"},
    {R"({"op": "gather", "dim": 2, "arguments": {"input": {"shape": [2, 3]}, "index": {"shape": [2, 3], "fill": "indices", "below": 2}}})",
     "gather: dimension 2 is out of range for a tensor of rank 2; give one of -2 to 1"},
    {R"({"op": "gather", "dim": 1, "arguments": {"input": {"shape": [2, 3]}, "index": {"shape": [2, 5], "fill": "indices", "below": 9}}})",
     "gather: an index is 7, expected 0 to 2, positions in dimension 1 of the input 2×3"},
    {R"({"op": "gather", "dim": 1, "arguments": {"input": {"shape": [2, 3]}, "index": {"shape": [2, 3]}}})",
     "gather: the index is f64, expected i64; convert it with to()"},
    // pooling
    {R"({"op": "max_pool2d", "kernel_size": 2, "arguments": {"input": {"shape": [2, 3]}}})",
     "max_pool2d: expected an input of shape (N, C, H, W) or (C, H, W), got 2×3"},
    {R"({"op": "max_pool2d", "kernel_size": [3, 2], "padding": [1, 2], "arguments": {"input": {"shape": [1, 2, 5, 4]}}})",
     "max_pool2d: expected kernel, stride and dilation of 1 or more and padding of 0 to half the kernel, got kernel 2, stride 2, padding 2, dilation 1"},
    {R"({"op": "max_pool2d", "kernel": 2, "arguments": {"input": {"shape": [1, 2, 5, 4]}}})",
     "max_pool2d: attribute 'kernel_size' is missing"},
    {R"({"op": "max_pool2d", "kernel_size": 2, "ceil_mod": true, "arguments": {"input": {"shape": [1, 2, 5, 4]}}})",
     "max_pool2d: attribute 'ceil_mod' is not known, did you mean 'ceil_mode'?; it takes ceil_mode, dilation, input, kernel_size, padding, stride"},
    {R"({"op": "avg_pool2d", "kernel_size": 3, "padding": -1, "arguments": {"input": {"shape": [1, 2, 5, 4]}}})",
     "avg_pool2d: expected kernel, stride and dilation of 1 or more and padding of 0 to half the kernel, got kernel 3, stride 3, padding -1, dilation 1"},
    {R"({"op": "avg_pool2d", "kernel_size": [2, 5], "arguments": {"input": {"shape": [1, 2, 5, 4]}}})",
     "avg_pool2d: the 2×5 window with dilation 1×1 does not fit into the 5×4 image with padding 0×0"},
    {R"({"op": "avg_pool2d", "kernel_size": 2, "divisor_override": 0, "arguments": {"input": {"shape": [1, 2, 5, 4]}}})",
     "avg_pool2d: expected a divisor_override other than 0"},
    {R"({"op": "adaptive_avg_pool2d", "output_size": 2, "arguments": {"input": {"shape": [5]}}})",
     "adaptive_avg_pool2d: expected an input of shape (N, C, H, W) or (C, H, W), got 5"},
    {R"({"op": "adaptive_avg_pool2d", "output_size": [2, -1], "arguments": {"input": {"shape": [1, 2, 5, 4]}}})",
     "adaptive_avg_pool2d: expected an output size of 0 or more, got 2×-1"},
    {R"({"op": "adaptive_avg_pool2d", "output_size": 2, "arguments": {"input": {"shape": [1, 2, 5, 0]}}})",
     "adaptive_avg_pool2d: expected an image with at least one pixel, got 1×2×5×0"},
    {R"({"op": "global_avg_pool", "arguments": {"input": {"shape": [2, 3]}}})",
     "global_avg_pool: expected an input of shape (N, C, H, W) or (C, H, W), got 2×3"},
    {R"({"op": "global_avg_pool", "arguments": {"input": {"shape": [1, 2, 5, 4], "fill": "classes", "below": 3}}})",
     "global_avg_pool: the input is i64, expected f32 or f64; convert it with to()"},
    // normalisation
    {R"({"op": "batch_norm", "training": true, "arguments": {"input": {"shape": [3]}, "running_mean": {"shape": [3]},)"
     R"( "running_var": {"shape": [3], "fill": "positive"}}})",
     "batch_norm: expected an input of shape (N, C) or (N, C, …), got 3"},
    {R"({"op": "batch_norm", "training": true, "arguments": {"input": {"shape": [1, 3]}, "running_mean": {"shape": [3]},)"
     R"( "running_var": {"shape": [3], "fill": "positive"}}})",
     "batch_norm: expected more than one value per channel in training, got input 1×3; use a larger batch, or eval()"},
    {R"({"op": "batch_norm", "training": true, "arguments": {"input": {"shape": [4, 3]}, "running_mean": {"shape": [3]},)"
     R"( "running_var": {"shape": [4], "fill": "positive"}}})",
     "batch_norm: expected running_var of shape 3, one for each channel, got 4 (input 4×3)"},
    {R"({"op": "batch_norm", "training": true, "arguments": {"input": {"shape": [4, 3]}, "running_mean": {"shape": [3]}}})",
     "batch_norm: expected both running_mean and running_var, or neither, got only running_mean"},
    {R"({"op": "batch_norm", "arguments": {"input": {"shape": [4, 3]}}})",
     "batch_norm: evaluation needs running_mean and running_var; give them, or train"},
    {R"({"op": "batch_norm", "training": true, "arguments": {"input": {"shape": [4, 3]}, "running_mean": {"shape": [3], "fill": "classes", "below": 3},)"
     R"( "running_var": {"shape": [3], "fill": "positive"}}})",
     "batch_norm: tensors are f64 and i64, expected one dtype; convert one with to()"},
    // (in evaluation, since names that are not known are found after the call)
    {R"({"op": "batch_norm", "momentun": 0.5, "arguments": {"input": {"shape": [4, 3]}, "running_mean": {"shape": [3]},)"
     R"( "running_var": {"shape": [3], "fill": "positive"}}})",
     "batch_norm: attribute 'momentun' is not known, did you mean 'momentum'?; it takes bias, eps, input, momentum, running_mean, running_var, training, weight"},
    {R"({"op": "layer_norm", "normalized_shape": [4], "arguments": {"input": {"shape": [2, 3]}}})",
     "layer_norm: expected an input whose last dimensions are 4, got 2×3"},
    {R"({"op": "layer_norm", "normalized_shape": [], "arguments": {"input": {"shape": [2, 3]}}})",
     "layer_norm: expected a normalized_shape of one size or more, got none; give the last sizes of the input 2×3"},
    {R"({"op": "layer_norm", "normalized_shape": [3], "arguments": {"input": {"shape": [2, 3]}, "weight": {"shape": [2]}}})",
     "layer_norm: expected a weight of shape 3, got 2"},
    {R"({"op": "layer_norm", "normalised_shape": [3], "normalized_shape": [3], "arguments": {"input": {"shape": [2, 3]}}})",
     "layer_norm: attribute 'normalised_shape' is not known, did you mean 'normalized_shape'?; it takes bias, eps, input, normalized_shape, weight"},
    {R"({"op": "softmax", "dim": 2, "arguments": {"input": {"shape": [2, 3]}}})",
     "softmax: dimension 2 is out of range for a tensor of rank 2; give one of -2 to 1"},
    {R"({"op": "softmax", "dim": 1, "arguments": {"input": {"shape": [2, 3], "fill": "classes", "below": 3}}})",
     "softmax: the input is i64, expected f32 or f64; convert it with to()"},
    {R"({"op": "log_softmax", "dim": -3, "arguments": {"input": {"shape": [2, 3]}}})",
     "log_softmax: dimension -3 is out of range for a tensor of rank 2; give one of -2 to 1"},
    {R"({"op": "log_softmax", "dim": 1, "arguments": {"input": {"shape": [2, 3], "fill": "classes", "below": 3}}})",
     "log_softmax: the input is i64, expected f32 or f64; convert it with to()"},
    // losses
    {R"({"op": "nll_loss", "arguments": {"input": {"shape": [4, 5]}, "target": {"shape": [3], "fill": "indices", "below": 5}}})",
     "nll_loss: expected an input of shape (N, classes, …) or (classes) and a target of shape (N, …) or a scalar, got 4×5 and 3"},
    {R"({"op": "nll_loss", "arguments": {"input": {"shape": [4, 5]}, "target": {"shape": [4], "fill": "indices", "below": 50}}})",
     "nll_loss: target[0] is 6, expected a class from 0 to 4 or ignore_index -100"},
    {R"({"op": "nll_loss", "arguments": {"input": {"shape": [4, 5]}, "target": {"shape": [4]}}})",
     "nll_loss: the target is f64, expected i64; convert it with to()"},
    {R"({"op": "nll_loss", "ignore_idx": 2, "arguments": {"input": {"shape": [4, 5]},)"
     R"( "target": {"shape": [4], "fill": "indices", "below": 5}}})",
     "nll_loss: attribute 'ignore_idx' is not known, did you mean 'ignore_index'?; it takes ignore_index, input, reduction, target, weight"},
    {R"({"op": "cross_entropy", "arguments": {"input": {"shape": [2, 5, 3]}, "target": {"shape": [2, 4], "fill": "indices", "below": 5}}})",
     "cross_entropy: expected an input of shape (N, classes, …) or (classes) and a target of shape (N, …) or a scalar, got 2×5×3 and 2×4"},
    {R"({"op": "cross_entropy", "arguments": {"input": {"shape": [4, 5]}, "target": {"shape": [4], "fill": "indices", "below": 50}}})",
     "cross_entropy: target[0] is 12, expected a class from 0 to 4 or ignore_index -100"},
    {R"({"op": "cross_entropy", "label_smoothing": 2, "arguments": {"input": {"shape": [4, 5]},)"
     R"( "target": {"shape": [4], "fill": "indices", "below": 5}}})",
     "cross_entropy: expected a label_smoothing from 0 to 1, got 2"},
    {R"({"op": "cross_entropy", "ignore_index": 2, "arguments": {"input": {"shape": [4, 5]},)"
     R"( "target": {"shape": [4, 5], "fill": "probabilities"}}})",
     "cross_entropy: a target of probabilities has no class to ignore, got ignore_index 2; leave it out"},
    {R"({"op": "cross_entropy", "arguments": {"input": {"shape": [4, 5]},)"
     R"( "target": {"shape": [4, 5], "fill": "probabilities"}, "weight": {"shape": [4]}}})",
     "cross_entropy: expected a weight of shape 5, one for each class, got 4"},
    {R"({"op": "cross_entropy", "arguments": {"input": {"shape": [4, 5]}, "target": {"shape": [4, 5], "fill": "indices", "below": 5}}})",
     "cross_entropy: the target of probabilities is i64, expected f32 or f64; convert it with to()"},
    {R"({"op": "cross_entropy", "label_smooth": 0.1, "arguments": {"input": {"shape": [4, 5]},)"
     R"( "target": {"shape": [4], "fill": "indices", "below": 5}}})",
     "cross_entropy: attribute 'label_smooth' is not known, did you mean 'label_smoothing'?; it takes ignore_index, input, label_smoothing, reduction, target, weight"},
    {R"({"op": "mse_loss", "arguments": {"input": {"shape": [2, 3]}, "target": {"shape": [2, 4]}}})",
     "mse_loss: shapes 2×3 and 2×4 do not broadcast: sizes 3 and 4 differ and neither is 1"},
    {R"({"op": "mse_loss", "arguments": {"input": {"shape": [2, 3]}, "target": {"shape": [2, 3], "fill": "classes", "below": 3}}})",
     "mse_loss: tensors are f64 and i64, expected one dtype; convert one with to()"},
    {R"({"op": "l1_loss", "reduction": "max", "arguments": {"input": {"shape": [2, 3]}, "target": {"shape": [2, 3]}}})",
     "l1_loss: attribute 'reduction' is max, expected mean, sum or none"},
    {R"({"op": "l1_loss", "arguments": {"input": {"shape": [2, 3], "fill": "classes", "below": 3}, "target": {"shape": [2, 3]}}})",
     "l1_loss: the first argument is i64, expected f32 or f64; convert it with to()"},
    {R"({"op": "huber_loss", "reduction": "max", "arguments": {"input": {"shape": [2, 3]}, "target": {"shape": [2, 3]}}})",
     "huber_loss: attribute 'reduction' is max, expected mean, sum or none"},
    {R"({"op": "huber_loss", "delta": 0, "arguments": {"input": {"shape": [2, 3]}, "target": {"shape": [2, 3]}}})",
     "huber_loss: expected a delta above 0, got 0"},
    {R"({"op": "huber_loss", "beta": 2, "arguments": {"input": {"shape": [2, 3]}, "target": {"shape": [2, 3]}}})",
     "huber_loss: attribute 'beta' is not known, did you mean 'delta'?; it takes delta, input, reduction, target"},
};

// What is wrong with one row, or "": the text must be the row's and begin with the op, and no argument may have changed.
std::string fault(const Refused& row, bool requires_grad) {
  const OpCase c = parse_case(row.line);
  const std::string op = c.attributes["op"];
  Arguments arguments = c.arguments(), before;
  for (auto& [name, x] : arguments) {
    before[name] = x.clone();
    if (requires_grad && is_differentiable(op, name, x)) x.set_requires_grad();
  }
  const std::string text = error_text<Error>([&] { call_op(arguments, c.attributes); });
  if (text.empty()) return "no error";
  if (text != row.text) return "got: " + text;
  if (text.rfind(op + ":", 0) != 0 && text.rfind(op + " of ", 0) != 0) return "the text does not begin with the op";
  for (const auto& [name, x] : arguments)
    if (!same_bits(x, before[name])) return name + " was changed";
  return "";
}

}  // namespace

TEST_CASE("what the ops refuse is told in whole texts, and no argument changes", "[ops]") {
  for (const bool requires_grad : {false, true})
    for (const Refused& row : refused) {
      const std::string what = fault(row, requires_grad);
      if (!what.empty())  // by hand, since Catch2 folds long lines
        std::fprintf(stderr, "%s\n  expected: %s\n  %s%s\n", row.line, row.text, what.c_str(), requires_grad ? " (with gradients)" : "");
      CHECK(what.empty());
    }
}

TEST_CASE("every op has two errors or more", "[ops]") {
  std::map<std::string, int> counts;
  for (const Refused& row : refused) ++counts[parse_case(row.line).attributes["op"]];
  for (const auto& [op, function] : ops()) {
    INFO(op);
    CHECK(counts[op] >= 2);
  }
}

TEST_CASE("a mix of f32 and f64 is refused by the op that was called") {
  const Tensor x = Tensor::ones({2, 3}), f64 = x.to(DType::f64), three = Tensor::ones({3}, DType::f64);
  const Tensor image = Tensor::ones({1, 3, 4, 4}), kernel = Tensor::ones({2, 3, 3, 3}, DType::f64), none, target = Tensor::zeros({2}, DType::i64);
  const std::vector<std::pair<std::string, std::function<void()>>> calls{
      {"add", [&] { add(x, f64); }},
      {"pow", [&] { pow(x, f64); }},
      {"matmul", [&] { matmul(x, three); }},
      {"linear", [&] { linear(x, x, Tensor::ones({2}, DType::f64)); }},
      {"conv2d", [&] { conv2d(image, kernel); }},
      {"cat", [&] { cat({x, f64}); }},
      {"stack", [&] { stack({x, f64}); }},
      {"batch_norm", [&] { batch_norm(x, three, none, none, none, {.training = true}); }},
      {"layer_norm", [&] { layer_norm(x, {3}, none, three); }},
      {"nll_loss", [&] { nll_loss(x, target, {.weight = three}); }},
      {"cross_entropy", [&] { cross_entropy(x, f64); }},
      {"huber_loss", [&] { huber_loss(x, f64); }},
  };
  for (const auto& [op, call] : calls) CHECK(error_text<DTypeError>(call) == op + ": tensors are f32 and f64, expected one dtype; convert one with to()");
}

namespace {

// The text of the error of backward from y, after `changed` was changed in place.
std::string text_after_change(const Tensor& y, Tensor changed) {
  {
    const NoGrad no_grad;
    changed.fill_(1);
  }
  return error_text<GraphError>([&] { sum(y).backward(); });
}

}  // namespace

TEST_CASE("backward refuses tensors that it needs and that were changed in place") {
  const auto leaf = [](const Shape& shape) { return Tensor::full(shape, 0.5).set_requires_grad(); };
  const auto check = [](const std::string& op, const Tensor& x, const Tensor& y, const Tensor& changed) {
    CHECK(text_after_change(y, changed) ==
          fmt::format("backward of {}: a tensor that it saved (shape {}) was changed in place after forward; clone() it before the change", op,
                      to_string(changed.shape())));
    CHECK(!x.grad().defined());
  };
  const Tensor w = Tensor::full({2, 3}, 2), target = Tensor::zeros({2}, DType::i64), index = Tensor::zeros({2, 1}, DType::i64);
  const Tensor w_transposed = transpose(w, 0, 1), x = leaf({2, 3}), image = leaf({1, 2, 4, 4}), exp_y = exp(x), relu_y = relu(x), softmax_y = softmax(x, 1);
  check("exp", x, exp_y, exp_y);
  check("relu", x, relu_y, relu_y);
  check("softmax", x, softmax_y, softmax_y);
  check("mul", x, mul(x, w), w);
  check("matmul", x, matmul(x, w_transposed), w_transposed);
  check("layer_norm", x, layer_norm(x, {3}), x);
  check("mse_loss", x, mse_loss(x, w), w);
  check("cross_entropy", x, cross_entropy(x, target), x);
  check("gather", x, gather(x, 1, index), index);
  check("max_pool2d", image, max_pool2d(image), image);
  const Tensor loss = cross_entropy(x, target);
  CHECK(text_after_change(loss, target) ==
        "backward of cross_entropy: a tensor that it saved (shape 2) was changed in place after forward; clone() it before the change");
}

TEST_CASE("backward does not mind changes to tensors that it does not need") {
  const Tensor x = Tensor::full({2, 3}, 0.5).set_requires_grad(), w = Tensor::full({2, 3}, 2);
  CHECK(text_after_change(add(x, w), w).empty());
  CHECK(text_after_change(mul(w, x), x).empty());   // the gradient of x is by w alone, and w has none
  CHECK(text_after_change(div(x, w), x).empty());
  CHECK(text_after_change(exp(x), x).empty());
  CHECK(text_after_change(softmax(x, 1), x).empty());
}
