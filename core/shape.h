// Sizes of a tensor, and the one physical layout.
//
// A rank-4 tensor is logically (N, C, H, W), as in PyTorch, and stored N,H,W,C; filters (O, I, H, W) are stored
// O,H,W,I. Every other rank is stored in its logical order. All of Mica's knowledge of this is in physical_order().
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mica {

using Shape = std::vector<std::int64_t>;    // logical sizes, outermost first; {} is a scalar
using Strides = std::vector<std::int64_t>;  // elements between neighbours along each logical dimension

std::int64_t numel(const Shape& shape);        // product of the sizes; 1 for a scalar
std::string to_string(const Shape& shape);     // "128×8×14×14"; "scalar" for {}
std::vector<int> physical_order(int rank);     // logical dimensions from the outermost in memory to the innermost
Strides strides_of(const Shape& shape);        // by logical dimension
bool same_memory_order(const Shape& a, const Shape& b);  // may a be reshaped to b without moving an element?

// dim in [-rank, rank) → [0, rank); a scalar counts as one dimension, as in PyTorch. Throws ShapeError that begins with op.
int normalize_dim(int dim, int rank, const char* op);

// The sizes of a op b by the rules of NumPy and PyTorch; throws ShapeError that begins with op.
Shape broadcast(const Shape& a, const Shape& b, const char* op);

// Strides with which a tensor of `shape` is read as `target`: 0 along every dimension that is broadcast.
Strides broadcast_strides(const Shape& shape, const Shape& target);

}  // namespace mica
