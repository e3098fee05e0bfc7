// The Gaussian blur of elastic transforms, along one side of an image, as a matrix.
#pragma once

#include <cstdint>
#include <vector>

namespace mica {

// How many pixels a blur of deviation sigma weighs: int(8·sigma + 1), or one more where that is even, as in torchvision.
std::int64_t gaussian_blur_size(double sigma);

// Row-major B (n×n), with B·x the blur of n pixels that are mirrored about the first and the last: Σ over t of weight_t·x[|i + t|…], with
// weight_t ~ exp(−t²/2sigma²) and sum 1. No blur where sigma is 0. n > gaussian_blur_size(sigma)/2. The same bits on every machine.
std::vector<float> gaussian_blur_matrix(std::int64_t n, double sigma);

}  // namespace mica
